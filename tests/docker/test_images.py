"""What images are made from: lists of requirements, carried settings, and stages that images share."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from docker.carry_pip import MARK, carry, fitting_wheels, is_local, pinned, pip_conf, settings_of
from docker.requirements import entries, shared
from tests.docker.stack import ROOT

DOCKER = ROOT / "docker"
TORCH = "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl"


def stages(name: str) -> dict[str, str]:
    """A Dockerfile's stages by their names; the last one is `image`."""
    parts = (DOCKER / f"Dockerfile.{name}").read_text(encoding="utf-8").split("\nFROM ")[1:]
    return {part.splitlines()[0].partition(" AS ")[2] or "image": part.partition("\n\n")[0].strip() for part in parts}


@pytest.mark.parametrize(
    ("stage", "images"),
    [
        ("lists", ("edge", "cloud", "bench", "wan")),
        ("project", ("edge", "cloud", "bench", "wan")),
        ("shared", ("edge", "cloud", "bench")),
    ],
)
def test_shared_stages_are_equal(stage: str, images: tuple[str, ...]) -> None:
    """Else they are built, and stored, once for each image."""
    assert len({stages(image)[stage] for image in images}) == 1


@pytest.mark.parametrize("image", ["edge", "cloud", "bench", "wan"])
def test_nothing_of_the_site_reaches_an_image(image: str) -> None:
    assert "local" not in stages(image)["image"]


@pytest.mark.parametrize("image", ["edge", "cloud"])
def test_daemons_run_as_a_user_and_have_a_health_check(image: str) -> None:
    last = stages(image)["image"]
    assert "\nUSER eventspec\n" in last
    assert "\nHEALTHCHECK " in last


def test_lists_of_the_locks() -> None:
    locks = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "locks").glob("*.txt")}
    common = shared(locks)
    found = {name: set(entries(text)) for name, text in {**locks, "shared": common}.items()}
    assert found["core"] < found["shared"] == found["edge"] & found["cloud"]
    assert {"transformers", "numpy"} <= found["shared"]
    assert not any("torch" in packages for packages in found.values())
    hashes = {name: entry.count("--hash=") for name, entry in entries(locks["edge"]).items()}
    assert common.count("--hash=") == sum(hashes[name] for name in found["shared"])


def test_what_is_installed_has_a_hash() -> None:
    """All but torch, whose builds have hashes of their own, and the wheel that was built of this project."""
    script = (DOCKER / "install.sh").read_text(encoding="utf-8")
    assert "--require-hashes --no-deps" in script
    found = re.findall(r"(?:^ +|gather )install (.*?)(?: ;;)?$", script, re.MULTILINE)
    assert found == ["torch", "--no-deps /build/wheel/*.whl"]


def test_the_environment_overrides_pips_files() -> None:
    listing = ":env:.timeout='9'\nglobal.timeout='5'\nglobal.extra-index-url='https://a\\nfile:///b'\nnonsense"
    assert settings_of(listing) == {"timeout": "9", "extra-index-url": "https://a\nfile:///b"}


def test_places_on_this_disk_stay_here() -> None:
    conf = pip_conf(
        {"extra-index-url": "https://a/simple file:///b", "find-links": "/wheels", "cert": "/x", "retries": "2"}
    )
    assert conf == f"{MARK}[global]\nextra-index-url = https://a/simple\nretries = 2\n"
    assert is_local("/wheels")
    assert not is_local("https://a")


def test_wheels_that_fit_a_pin() -> None:
    pins = pinned("# why\ntorch==2.13.0\nmy-package==1.0 ; python_version > '3'\n")
    names = [TORCH, "torch-2.12.0-cp311-cp311-any.whl", "my_package-1.0-py3-none-any.whl", "torch-2.13.0.tar.gz"]
    assert fitting_wheels(names, pins) == [TORCH, "my_package-1.0-py3-none-any.whl"]


def test_carrying_leaves_what_a_user_wrote(tmp_path: Path) -> None:
    wheels, into = tmp_path / "wheels", tmp_path / "local"
    wheels.mkdir()
    into.mkdir()
    (wheels / TORCH).write_bytes(b"wheel")
    (into / "pip.conf").write_text("[global]\nproxy = mine\n", encoding="utf-8")
    said = carry({"find-links": str(wheels), "proxy": "theirs"}, "torch==2.13.0\n", into)
    assert said == [f"wheels/{TORCH}"]
    assert (into / "wheels" / TORCH).read_bytes() == b"wheel"
    assert "mine" in (into / "pip.conf").read_text(encoding="utf-8")


@pytest.mark.parametrize("script", sorted(DOCKER.glob("*.sh")), ids=lambda path: path.name)
def test_scripts_parse(script: Path) -> None:
    shell = script.read_text(encoding="utf-8").splitlines()[0].rpartition("/")[2].rpartition(" ")[2]
    subprocess.run([shell, "-n", str(script)], check=True, timeout=10)


def test_making_a_base_image_explains_itself() -> None:
    shown = subprocess.run([DOCKER / "make-base.sh", "--help"], capture_output=True, text=True, check=True, timeout=10)
    assert "SUITE" in shown.stdout
    assert "set -" not in shown.stdout


@pytest.mark.parametrize("service", ["cloud", "edge", "bench", "edge-net", "cloud-net", "wan"])
def test_containers_have_a_read_only_root_and_no_rights_but_those_they_need(service: str) -> None:
    composed = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))["services"][service]
    assert composed["read_only"] is True
    assert composed["cap_drop"] == ["ALL"]
    assert composed["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in composed
    if service in ("cloud", "edge", "bench"):
        assert "cap_add" not in composed
        assert "\nUSER eventspec\n" in stages(service)["image"]


def test_the_closed_pair_is_closed() -> None:
    services = yaml.safe_load((DOCKER / "compose.tls.yaml").read_text(encoding="utf-8"))["services"]
    cloud, edge = services["cloud"]["environment"], services["edge"]["environment"]
    assert cloud["EVENTSPEC_CLOUD_INSECURE"] == "false"
    assert {"EVENTSPEC_CLOUD_TLS_CERT", "EVENTSPEC_CLOUD_TLS_KEY", "EVENTSPEC_CLOUD_TOKENS"} <= set(cloud)
    assert {"EVENTSPEC_EDGE_CLOUD_CA", "EVENTSPEC_EDGE_TOKEN_FILE"} <= set(edge)
