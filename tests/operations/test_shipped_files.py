"""What operators take as it is: the dashboard, the compose profile, the systemd units."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloud.metrics import METRICS as CLOUD
from common.metrics import Kind
from edge.metrics import METRICS as EDGE
from tests.operations.scraping import ROOT

MONITORING = ROOT / "docker" / "monitoring"
UNITS = sorted((ROOT / "packaging" / "systemd").glob("*.service"))
_NAME = re.compile(r"\beventspec_(?:edge|cloud)_[a-z0-9_]+")
SERIES = {
    name
    for metric in (*CLOUD, *EDGE)
    for name in (
        [f"{metric.name}{end}" for end in ("_bucket", "_sum", "_count")]
        if metric.kind is Kind.HISTOGRAM
        else [metric.published]
    )
}
LABELS = {metric.published: {*metric.labels, "job", "instance"} for metric in (*CLOUD, *EDGE)}


def panels() -> list[dict[str, Any]]:
    dashboard = json.loads((MONITORING / "grafana" / "dashboards" / "eventspec.json").read_text())
    found: list[dict[str, Any]] = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    return found


def queries() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def test_every_series_of_the_dashboard_exists() -> None:
    named = {name for query in queries() for name in _NAME.findall(query)}
    assert named - SERIES == set()
    assert len(named) > 30


def test_the_dashboards_labels_exist() -> None:
    for panel in panels():
        for target in panel["targets"]:
            shown = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            grouped = {part.strip() for by in re.findall(r"by \(([^)]*)\)", target["expr"]) for part in by.split(",")}
            known = {label for name in _NAME.findall(target["expr"]) for label in LABELS.get(name, {"le"})}
            assert shown | grouped <= known | {"le"}, target


def test_queries_are_balanced_and_panels_dont_overlap() -> None:
    for query in queries():
        assert query.count("(") == query.count(")")
        assert query.count("{") == query.count("}")
    places = [panel["gridPos"] for panel in panels()]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_the_dashboard_finds_its_source() -> None:
    sources = yaml.safe_load((MONITORING / "grafana" / "datasources" / "prometheus.yml").read_text())
    assert {panel["datasource"]["uid"] for panel in panels()} == {sources["datasources"][0]["uid"]}


def test_prometheus_scrapes_where_compose_has_the_daemons() -> None:
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    targets = {job["static_configs"][0]["targets"][0].split(":")[0] for job in config["scrape_configs"]}
    services = compose["services"]
    assert targets == {services[side]["network_mode"].removeprefix("service:") for side in ("edge", "cloud")}
    for name in ("prometheus", "grafana"):
        assert services[name]["profiles"] == ["monitoring"]
        assert services[name]["read_only"] is True
        assert services[name]["image"].startswith("${EVENTSPEC_")
        for volume in services[name]["volumes"]:
            source = volume.split(":")[0]
            assert not source.startswith(".") or (ROOT / "docker" / source).exists()


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_units_are_closed_in(unit: Path) -> None:
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string(unit.read_text())
    service = parsed["Service"]
    side = unit.stem.removeprefix("eventspec-")
    assert service["ExecStart"] == f"/opt/eventspec/bin/eventspec-{side} serve --config /etc/eventspec/{side}.toml"
    for name in ("NoNewPrivileges", "DynamicUser", "PrivateTmp", "ProtectKernelModules", "RestrictNamespaces"):
        assert service[name] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_systemd_takes_the_units(unit: Path, tmp_path: Path) -> None:
    side = unit.stem.removeprefix("eventspec-")
    here = tmp_path / unit.name
    here.write_text(unit.read_text().replace(f"/opt/eventspec/bin/eventspec-{side}", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(here)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if unit.name in line]) == (0, [])


def test_there_are_two_units() -> None:
    assert [unit.stem for unit in UNITS] == ["eventspec-cloud", "eventspec-edge"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_systemd_finds_the_units_closed(unit: Path) -> None:
    """Its exposure level, in tenths: what is left open is the network, `/proc` for torch, and /home for the edge."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=18", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
