"""The lines of the Dockerfile, run without a builder of images: ``python tests/dockerfile.py``.

Each stage is a copy-on-write view of this system (an overlay in memory, in a mount namespace of its
own, so that nothing is left), with a new virtual environment in the place of the base image's
Python. Every line is run in it as it stands, by the user that it names. Then the image is used: as
its last lines say, for a training that must find its machine code there, and as on another
processor. Needs root on Linux, and the packages' index.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = "/usr/local/image"
"""Where a stage has its Python."""
ARRANGED = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
ARRANGED["PIP_QUIET"] = "1"
"""How pip reaches its index here, and that it says little."""

COMPILED = "from fastvae import kernels; assert kernels.is_compiled(on_disk=True)"
TRAIN = ["train", "--dataset", "synthetic_digits", "--train-size", "500", "--epochs", "1"]


def instructions(text: str) -> list[tuple[str, str]]:
    """The lines of a Dockerfile as (instruction, what follows it)."""
    lines = [line for line in text.splitlines() if not re.match(r"\s*(#|$)", line)]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    parts = (line.partition(" ") for line in joined.splitlines())
    return [(name.upper(), rest.strip()) for name, _, rest in parts]


@dataclass
class Stage:
    """A file system that steps are run in, and what they have set."""

    root: Path
    variables: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    folder: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def run(self, *command: str, **more: str) -> None:
        """Run a command as `docker run` would, with more variables; end if it fails."""
        path = f"{ENVIRONMENT}/bin:/usr/local/bin:/usr/bin:/bin"
        variables = {"PATH": path, "HOME": "/root", **ARRANGED, **self.variables, **more}
        settings = [f"{name}={value}" for name, value in variables.items()]
        inside = ["chroot", f"--userspec={self.user}", "--groups=", str(self.root)]
        inside += ["env", "-C", self.folder, "-i", *settings]
        done = subprocess.run([*inside, *command], check=False)
        if done.returncode:
            sys.exit(f"{shlex.join(command)}: exit code {done.returncode}")

    def path(self, inside: str) -> Path:
        return self.root / inside.lstrip("/")


def new_stage(folder: Path) -> Stage:
    """A view of this system with an empty environment of this Python."""
    upper, work, root = (folder / name for name in ("upper", "work", "root"))
    for path in (upper, work, root):
        path.mkdir(parents=True)
    layers = f"lowerdir=/,upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, root], check=True)
    for name in ("proc", "dev"):
        subprocess.run(["mount", "--rbind", f"/{name}", root / name], check=True)
    stage = Stage(root)
    stage.run(f"{sys.base_prefix}/bin/python3", "-m", "venv", ENVIRONMENT)
    for parent in Path(sys.base_prefix).parents:  # a home that only its owner may enter
        stage.path(str(parent)).chmod(0o755)
    return stage


def copy_context(target: Path) -> None:
    """Copy what .dockerignore leaves: it names what is taken, and patterns that never are."""
    patterns = [line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line]
    ignored = shutil.ignore_patterns(*(p[3:] for p in patterns if p.startswith("**/")))
    for name in (pattern[1:] for pattern in patterns if pattern.startswith("!")):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, target / name)


def build(text: str, folder: Path) -> Stage:
    """Go through a Dockerfile; return its last stage."""
    stages: dict[str, Stage] = {}
    stage = Stage(Path())
    for name, rest in instructions(text):
        print(f"-- {name} {rest}", flush=True)
        words = rest.split()
        if name == "FROM":
            stage = stages[words[-1]] = new_stage(folder / str(len(stages)))
        elif name == "COPY" and words[0].startswith("--from="):
            made = stages[words[0].removeprefix("--from=")]
            shutil.copytree(made.path(words[1]), stage.path(words[2]))
        elif name == "COPY" and words[0] == ".":
            stage.path(words[1]).mkdir()
            copy_context(stage.path(words[1]))
        elif name == "ENV":
            stage.variables |= dict(word.split("=", 1) for word in shlex.split(rest))
        elif name == "USER":
            stage.user = rest
        elif name == "WORKDIR":
            stage.path(rest).mkdir(exist_ok=True)
            stage.folder = rest
        elif name == "RUN":
            stage.run("/bin/sh", "-c", rest)
        elif name == "ENTRYPOINT":
            stage.entrypoint = json.loads(rest)
        elif name == "CMD":
            stage.command = json.loads(rest)
        else:
            sys.exit(f"{name}: no such line was looked for")
    return stage


def use(image: Stage) -> None:
    """Run an image as its reader would."""
    image.run(*image.entrypoint, *image.command)
    image.run("python", "-c", COMPILED)
    image.run(*image.entrypoint, *TRAIN)
    kept = image.path(image.variables["FASTVAE_CACHE"])
    before = {path.name for path in kept.iterdir()}
    # Stands for another processor: its code is compiled, kept beside the other, and found again.
    image.run(*image.entrypoint, "warmup", FASTVAE_ISA="generic")
    image.run("python", "-c", COMPILED, FASTVAE_ISA="generic")
    image.run("python", "-c", COMPILED)
    assert before < {path.name for path in kept.iterdir()}


def main() -> int:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        sys.exit("needs root, and unshare")
    if "inside" not in sys.argv:
        with tempfile.TemporaryDirectory() as empty:
            command = ["unshare", "--mount", sys.executable, __file__, "inside", empty]
            return subprocess.run(command, check=False).returncode
    folder = Path(sys.argv[-1])
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
    use(build((ROOT / "Dockerfile").read_text("utf-8"), folder))
    print("the lines of the Dockerfile were run, and what they made")
    return 0


if __name__ == "__main__":
    sys.exit(main())
