#!/usr/bin/env bash
# Runs a command on aarch64 Linux, emulated on this machine, with this checkout at /opt/fastvae:
#
#     tests/arm64.sh FOLDER COMMAND ...
#     tests/arm64.sh ~/arm64 python3 -m pytest tests/machine
#
# FOLDER gets a Debian for arm64 (debootstrap) and aarch64 wheels of what pyproject.toml asks for,
# 1 GB in all and five minutes the first time. Machine code that was compiled is kept there too.
# QEMU_CPU=neoverse-n1 and the like choose the processor. Emulation is 10 to 40 times slower than
# the machine itself, and does not show what a weakly ordered memory may do.
set -euo pipefail

[ $# -ge 2 ] || { sed -n '2,/^set/{/^#/p}' "$0"; exit 2; }
checkout=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
root=$folder/root
suite=bookworm # whose Python is 3.11

need() {
  echo "arm64.sh needs $1" >&2
  exit 2
}
[ "$(id -u)" = 0 ] || need "to be root: it makes a Debian and works inside it (chroot)"
for command in debootstrap qemu-aarch64-static unshare; do
  command -v $command > /dev/null ||
    need "$command (apt-get install debootstrap qemu-user-static binfmt-support)"
done
python3 -c "import pip, tomllib" || need "Python 3.11 or newer, with pip"
formats=/proc/sys/fs/binfmt_misc
[ -e $formats/status ] || mount -t binfmt_misc none $formats
[ -e $formats/qemu-aarch64 ] ||
  need "Linux to start aarch64 programs by QEMU (apt-get install binfmt-support qemu-user-static)"

if [ ! -e "$root.made" ]; then
  rm -rf "$root"
  # The mirror that this machine uses, where it is a Debian; else debootstrap's own.
  mirror=$(apt-get indextargets --format '$(SITE)' "Codename: $suite" 2> /dev/null | head -n 1)
  debootstrap --arch=arm64 --foreign --variant=minbase --include=python3,libgomp1 \
    $suite "$root" ${mirror:+"$mirror"}
  unshare --mount chroot "$root" /debootstrap/debootstrap --second-stage
  touch "$root.made"
fi

# Wheels are unpacked here: pip itself would take long under emulation.
requirements=$(python3 - "$checkout/pyproject.toml" << 'END'
import sys, tomllib
from pip._vendor.packaging.requirements import Requirement
project = tomllib.load(open(sys.argv[1], "rb"))["project"]
extras = project["optional-dependencies"]

def all_of(lines):
    for wanted in map(Requirement, lines):
        if wanted.name == project["name"]:
            yield from all_of(line for extra in sorted(wanted.extras) for line in extras[extra])
        elif wanted.name not in ("ruff", "mypy"):
            yield wanted

found = {}
for wanted in all_of([*project["dependencies"], f"{project['name']}[bench,tensorboard,test]"]):
    if wanted.marker is None or wanted.marker.evaluate({"platform_machine": "aarch64"}):
        of_it = f"[{','.join(sorted(wanted.extras))}]" if wanted.extras else ""
        found[f"{wanted.name}{of_it}{wanted.specifier}"] = None
print(*found, sep="\n")
END
)
if [ "$requirements" != "$(cat "$folder/requirements" 2> /dev/null)" ]; then
  rm -rf "$root/opt/packages"
  # shellcheck disable=SC2086 # one word a requirement
  python3 -m pip install --quiet --root-user-action=ignore --no-warn-conflicts \
    --target "$root/opt/packages" --only-binary=:all: \
    --python-version 3.11 --implementation cp --no-compile \
    --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
    --platform manylinux_2_26_aarch64 --platform manylinux2014_aarch64 $requirements
  printf '%s\n' "$requirements" > "$folder/requirements"
fi

mkdir -p "$root/opt/fastvae" "$root/opt/cache"
# Mounts are this command's own and go with it.
inside='mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" &&
  mount --bind "$1" "$0/opt/fastvae" && shift &&
  exec chroot "$0" /usr/bin/env -C /opt/fastvae --ignore-environment "$@"'
variables=(PATH=/usr/local/bin:/usr/bin:/bin HOME=/root LANG=C.UTF-8
  PYTHONPATH=/opt/fastvae:/opt/fastvae/tests:/opt/packages MPLBACKEND=agg
  PYTHONDONTWRITEBYTECODE=1 FASTVAE_CACHE=/opt/cache NUMBA_CACHE_DIR=/opt/cache)
for name in ${!FASTVAE_*} ${!NUMBA_*} ${!QEMU_*} ${!PYTEST_*}; do
  [[ $name =~ ^(FASTVAE_CACHE|FASTVAE_DATA|NUMBA_CACHE_DIR)$ ]] || variables+=("$name=${!name}")
done
exec unshare --mount bash -c "$inside" "$root" "$checkout" "${variables[@]}" "$@"
