#!/usr/bin/env bash
# Everything that needs a GPU, in one run of at most eight minutes that downloads nothing: bash benchmarks/gpu.sh [OUT].
#
#   1. the tests marked gpu: parity, readers, determinism, the retry after out-of-memory
#   2. attnchain bench at the published size with random bfloat16 weights: stages, peak memory, kernels of attention,
#      torch.compile, reading three ways, and the same for the small size
#   3. windows of the small checkpoint through the whole pipeline, and the node's budgets where there is ROS
#
# OUT (default out/gpu) gets a log for each, bench.json, performance.md with the card's name, and summary.txt. Every part
# has its own limit, so that a slow one cannot cost the others their turn. PYTHON names the interpreter; SIZE and DEVICE
# are for rehearsals: SIZE=tiny DEVICE=cpu runs all of it on a machine without a GPU; SLOWER=3 gives every part three times
# as long, for a slow or busy one.
set -uo pipefail
root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root" || exit 1
out="${1:-out/gpu}"
python="${PYTHON:-$([[ -x .venv/bin/python ]] && echo .venv/bin/python || echo python3)}"
size="${SIZE:-published}"
device="${DEVICE:-cuda}"
mkdir -p "$out"
: > "$out/summary.txt"
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
failed=0

part() { # part NAME SECONDS COMMAND...
  local name="$1" limit="$(($2 * ${SLOWER:-1}))" started=$SECONDS
  shift 2
  timeout --kill-after=5 "$limit" "$@" > "$out/$name.txt" 2>&1
  local code=$?
  printf '%-10s status %-3s %3d of %3d s  %s\n' "$name" "$code" "$((SECONDS - started))" "$limit" \
    "$(tail -n 1 "$out/$name.txt" | cut -c1-100)" | tee -a "$out/summary.txt"
  # 124 and 137: cut off. 1 of bench and node: a budget is not kept, which is a result. Tests have to pass.
  case "$name:$code" in
    *:0 | bench:1 | small:1 | node:1) ;;
    tests:*) failed=1 ;;
    *:124 | *:137) ;;
    *) failed=1 ;;
  esac
}

"$python" - "$device" > "$out/machine.txt" 2>&1 << 'PYTHON'
import platform
import sys

import torch

print(platform.machine(), platform.python_version(), "torch", torch.__version__, "CUDA", torch.version.cuda)
if torch.cuda.is_available():
    card = torch.cuda.get_device_properties(0)
    print(torch.cuda.get_device_name(0), f"{card.total_memory / 2**30:.1f} GiB", f"compute capability {card.major}.{card.minor}")
elif sys.argv[1].startswith("cuda"):
    sys.exit("this torch sees no CUDA device: install a CUDA build, or rehearse with SIZE=tiny DEVICE=cpu")
PYTHON
ready=$?
tee -a "$out/summary.txt" < "$out/machine.txt"
[[ $ready -eq 0 ]] || exit 1

git rev-parse --short HEAD >> "$out/summary.txt" 2> /dev/null || true
if [[ $device == cuda* ]]; then
  mapfile -t chosen < <(grep -rl --include='test_*.py' 'mark\.gpu' test)
  chosen+=(-m gpu)
else
  chosen=(test/backbone/test_devices.py) # the same tests between two backbones on the CPU
fi
part tests 90 "$python" -m pytest -q -p no:cacheprovider "${chosen[@]}"
part bench 210 "$python" -m attnchain_ros.cli bench --sizes "$size" --device "$device" --variants --repeats 2 --out "$out"
part small 60 "$python" -m attnchain_ros.cli bench --sizes small --device "$device" --repeats 2 --out "$out/small"
part window 50 "$python" benchmarks/window.py --windows 3 --device "$device"
if "$python" -c "import rclpy, attnchain_ros.msg" 2> /dev/null; then
  part node 70 "$python" benchmarks/node.py --only window --windows 2 --device "$device"
fi
exit "$failed"
