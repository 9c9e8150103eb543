"""Both native systems over HTTP, empty, and the connector between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from connector.bootstrap import Connector, open_connector, shipped
from connector.domain.actions import OutcomeKind
from connector.domain.ledger import Conflict, ConflictState, Run, RunState
from connector.engine.run import Engine
from connector.native import crm, erp
from connector.native.serving import running_together

TOKEN, KEY = "crm-test-token", "erp-test-key"
CRM_SECRET, ERP_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "a secret of the ERP"


class ImpatientClock:
    """The machine's clock, but that sleeping lets the time pass at once. The systems and the
    commands in processes of their own go by the machine's, so this one starts with it."""

    def __init__(self) -> None:
        self._slept = timedelta()

    def now(self) -> datetime:
        """The present instant, and what was slept on top; UTC."""
        return datetime.now(UTC) + self._slept

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self._slept += timedelta(seconds=seconds)


@dataclass(slots=True)
class Pair:
    """Two systems and the connector; `crm` and `erp` call their APIs as their users do."""

    folder: Path
    crm_url: str
    erp_url: str
    connector: Connector
    engine: Engine = field(init=False)
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.engine = self.connector.engine("main")

    @property
    def config(self) -> Path:
        """The config file."""
        return self.folder / "config.yaml"

    def reconfigure(self, old: str, new: str) -> None:
        """Write something else into the config, and wire the pair anew."""
        text = self.config.read_text(encoding="utf-8")
        assert text.count(old) == 1
        self.config.write_text(text.replace(old, new), encoding="utf-8")
        self.connector.close()
        self.connector = open_connector(self.config, self.connector.clock)
        self.engine = self.connector.engine("main")

    def crm(self, method: str, path: str, body: Any = None) -> Any:
        """A call to the CRM."""
        answer = self.session.request(method, f"{self.crm_url}/api/{path}", json=body,
                                      headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def erp(self, method: str, path: str, body: Any = None) -> Any:
        """A call to the ERP."""
        answer = self.session.request(method, f"{self.erp_url}/v1/{path}", json=body,
                                      headers={"X-Api-Key": KEY}, timeout=30)
        assert answer.ok, answer.text
        return answer.json()

    def in_crm(self, object: str) -> list[dict[str, Any]]:
        """Every record of an object in the CRM."""
        found: list[dict[str, Any]] = self.crm("GET", f"{object}?limit=500")["data"]
        return found

    def in_erp(self, object: str) -> list[dict[str, Any]]:
        """Every record of an object in the ERP."""
        found: list[dict[str, Any]] = self.erp("GET", f"{object}?limit=1000&archived=include"
                                               )["rows"]
        return found

    def edit_erp(self, object: str, id: int, **changes: Any) -> None:
        """Change a record in the ERP, as its users do."""
        rev = self.erp("GET", f"{object}/{id}")["rev"]
        self.erp("PATCH", f"{object}/{id}", {"rev": rev, **changes})

    def act(self, action: str, order: int, **more: Any) -> dict[str, Any]:
        """Carry out an action on an order in the ERP."""
        (done,) = self.erp("POST", f"sales_orders/actions/{action}",
                           {"rows": [{"id": order, **more}]})["rows"]
        return done  # type: ignore[no-any-return]

    def sync(self) -> Run:
        """A sync that has to account for every record."""
        run = self.engine.sync()
        assert run.state is RunState.COMPLETED, run.message
        assert all(tally.accounted for tally in run.tallies.values())
        return run

    def quiet(self) -> None:
        """Two more syncs: the first may carry over what is left, the second writes nothing."""
        self.sync()
        assert not any(self.sync().writes.values())

    def sound(self) -> None:
        """No record failed or waits, and no one is asked."""
        with self.connector.store.begin() as uow:
            assert uow.dead_letters("main") == []
            assert uow.inbox_counts("main") == {}
        assert self.conflicts() == []

    def conflicts(self, *states: ConflictState) -> list[Conflict]:
        """Conflicts in these states; the open ones where none is named."""
        with self.connector.store.begin() as uow:
            return uow.conflicts("main", states=states or (ConflictState.OPEN,))

    def failed(self, run: Run) -> int:
        """Records that failed in a run."""
        return sum(t.outcomes[OutcomeKind.FAILED] for t in run.tallies.values())


def dying(point: str, nth: int) -> Callable[[str], None]:
    """Dies at a named point, when it is reached for the nth time."""
    left = [nth]

    def die(here: str) -> None:
        if here == point:
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt

    return die


def expect_webhooks(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the pair's config know its systems' webhook secrets."""
    monkeypatch.setenv("CRM_HOOKS", CRM_SECRET)
    monkeypatch.setenv("ERP_HOOKS", ERP_SECRET)
    text = pair.config.read_text(encoding="utf-8")
    for key in ("token: env:NATIVE_CRM_TOKEN", "api_key: env:NATIVE_ERP_KEY"):
        hooks = f"env:{'CRM' if 'CRM' in key else 'ERP'}_HOOKS"
        text = text.replace(key, f"{key}\n    webhooks: {{secrets: [{hooks}]}}")
    pair.config.write_text(text, encoding="utf-8")


def write_config(folder: Path, crm_url: str, erp_url: str) -> Path:
    """The example config with these URLs."""
    text = shipped("config.example.yaml").read_text(encoding="utf-8")
    path = folder / "config.yaml"
    path.write_text(text.replace("http://127.0.0.1:8801", crm_url)
                    .replace("http://127.0.0.1:8802", erp_url), encoding="utf-8")
    return path


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """An empty pair with the fault switches on."""
    monkeypatch.setenv("NATIVE_CRM_TOKEN", TOKEN)
    monkeypatch.setenv("NATIVE_ERP_KEY", KEY)
    with ExitStack() as stack:
        crm_url, erp_url = stack.enter_context(running_together(
            crm.create_app(f"sqlite:///{tmp_path}/crm.db", token=TOKEN, faults=True),
            erp.create_app(f"sqlite:///{tmp_path}/erp.db", api_key=KEY, faults=True)))
        connector = open_connector(write_config(tmp_path, crm_url, erp_url), ImpatientClock())
        both = Pair(tmp_path, crm_url, erp_url, connector)
        stack.callback(lambda: both.connector.close())
        yield both
