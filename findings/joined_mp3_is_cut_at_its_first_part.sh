#!/usr/bin/env bash
# Of two MP3 files joined end to end soundfile 0.14.0 reads the first one only, with no error and no Python warning.
#
# Joining MP3 files byte by byte is legal and common (radio archives, recorders that write in pieces): the format
# is a row of frames, and players go on to the end. libsndfile trusts the count of frames in the first Info or
# Xing frame, so SoundFile.frames, read() and info() all say that the recording ends there. A good guess would be
# all samples, or an error. All that is said is a note of libmpg123's on standard error, about seeking. Seen with
# soundfile 0.14.0 (libsndfile inside the wheel), numpy 2.4.6, Python 3.11:
#
#     joined: 4.00 s of sound, soundfile reads 2.00 s, info says 2.00 s
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -qq soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'PY'
import numpy as np
import soundfile as sf

rate = 44100
for name, pitch in (("first.mp3", 440), ("second.mp3", 880)):
    sf.write(name, 0.5 * np.sin(2 * np.pi * pitch * np.arange(2 * rate) / rate), rate)
joined = open("first.mp3", "rb").read() + open("second.mp3", "rb").read()
open("joined.mp3", "wb").write(joined)
found, _ = sf.read("joined.mp3")
said = sf.info("joined.mp3").frames
print(f"joined: 4.00 s of sound, soundfile reads {len(found) / rate:.2f} s, info says {said / rate:.2f} s")
assert len(found) == said == 2 * rate, "this has changed"
PY
