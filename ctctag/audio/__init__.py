"""Reading, writing and resampling audio; spectra, mel filter banks, log-mel features, standardisation."""

from ctctag.audio.files import AudioInfo, audio_info, read_audio, write_audio
from ctctag.audio.logmel import LogMel
from ctctag.audio.mel import hz_to_mel, mel_filterbank, mel_to_hz
from ctctag.audio.resampling import resample
from ctctag.audio.shifts import shift_samples, shifts_of
from ctctag.audio.spectrum import frame_count, stft
from ctctag.audio.standardise import Moments, Standardiser

__all__ = [
    "AudioInfo",
    "LogMel",
    "Moments",
    "Standardiser",
    "audio_info",
    "frame_count",
    "hz_to_mel",
    "mel_filterbank",
    "mel_to_hz",
    "read_audio",
    "resample",
    "shift_samples",
    "shifts_of",
    "stft",
    "write_audio",
]
