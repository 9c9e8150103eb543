"""The users of a bench, who edit both systems at once, and while the connector is at work. All
chance comes from one seed."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from connector.domain.policies import CRM, ERP, Role, other
from connector.mapping.compiled import at
from connector.testing.torture.at_rest import tied_to
from connector.testing.torture.bench import Bench, Late, Payload
from connector.testing.torture.company import MARK, tokens
from connector.testing.torture.simulated import code_at, merged, nested
from connector.testing.torture.swarm import told

FEW = 4
"""Records of an entity that users rather add to than edit."""


class CrowdedBench(Bench):
    """A bench whose users do what chance tells them."""

    def users(self, writes: bool) -> None:
        """Users at work just before a call. What they can't do is told at the end: here it would be
        taken for a failure of the call."""
        if not self.faults.on:
            return
        self.clock.sleep(self.chance.choice((0, 0, 0.1, 1.5)))  # a call takes its time
        try:
            self._meddle(writes)
        except Exception as error:
            self.violations.append(f"a user could not do his work: {told(error)}")

    def _meddle(self, writes: bool) -> None:
        for object, external_id in self.hands if writes else ():
            self.unlock(object, external_id)
        if writes and self.hands and not self.onlooker.capabilities.write_window \
                and self.faults.happens("edited_under_hands"):
            object, external_id = self.chance.choice(self.hands)
            self.edit(self.role, self._entity_of(object), external_id)
            self.unlock(object, external_id)  # a write waits for whoever holds the record
        elif not writes and self.faults.happens("edited_between_reads"):
            for _ in range(self.chance.choice((1, 1, 4))):
                self._edit_any()

    def _edit_any(self) -> None:
        role, entity = self.chance.choice((CRM, ERP)), self.chance.choice(self.pair.entities)
        living = self.living(role, entity)
        if living:
            self.edit(role, entity, self.chance.choice(living))

    def _entity_of(self, object: str) -> str:
        return next(entity for entity in self.pair.entities
                    if self.simulated.mappings[entity].object == object)

    def act(self) -> None:
        """One thing that some user does, now or a little later."""
        self.clock.sleep(self.chance.choice((0, 0.2, 2)))
        role, entity = self.chance.choice((CRM, ERP)), self.chance.choice(self.pair.entities)
        living, what = self.living(role, entity), self.chance.random()
        if not living or what < (0.4 if len(living) < FEW else 0.1):
            self._enter(role, entity)
        elif what < 0.65:
            self.edit(role, entity, self.chance.choice(living))
        elif what < 0.87:
            self._edit_both(role, entity, self.chance.choice(living))
        elif self.simulated.records[entity].deleted and entity not in self.parents:
            self.delete(role, entity, self.chance.choice(living))
        else:
            self.edit(role, entity, self.chance.choice(living))

    def token(self) -> str:
        """A value that nobody has given yet."""
        token = f"t{len(self.edits.given)}{MARK}"
        self.edits.given.add(token)
        return token

    def _enter(self, role: Role, entity: str) -> None:
        """A new record, unless it needs a parent and there is none."""
        theirs, records = self.simulated.mappings[entity], self.simulated.records[entity]
        payload: dict[str, Any] = dict(records.payload(self.edits.number))
        for code in theirs.fields:
            if code.link in self.policies and code.encode is not None:
                parents = self.living(role, code.link)
                if not parents and code.required:
                    return
                if parents:
                    parent = self.chance.choice(parents)
                    payload = merged(payload, nested(code.path, code.encode(parent)
                                                     if role == self.role else parent))
        for path in records.texts:
            payload = merged(payload, nested(path, self.token()))
        self._put_in(role, entity, payload)

    def _put_in(self, role: Role, entity: str, payload: dict[str, Any]) -> None:
        if role == self.role:
            there = self.living(role, entity)
            external_id = self.simulated.create(self.mapping(role, entity).object, payload)
            self.listed[entity] = sorted([*there, external_id])
        else:
            record = self.simulated.mappings[entity].decode(payload, lambda _entity, ext: ext, None)
            blank = {code.name: None for code in self.opposite[entity].fields}
            external_id = self.memory.next_id(entity)
            self.memory.put(entity, external_id, {**blank, **_in_use(blank), **record})
        self._done(f"create {role} {entity} {external_id}")
        self.born.add((role, entity, external_id))

    def _done(self, what: str) -> None:
        self.edits.number += 1
        self.faults.note(what)

    def _edit_both(self, role: Role, entity: str, external_id: str) -> None:
        """Both sides edit one record before the connector sees either, or one deletes it."""
        tied = tied_to(self, role, entity, external_id)
        if self.simulated.records[entity].deleted and entity not in self.parents \
                and self.chance.random() < 0.15:
            self.delete(role, entity, external_id)
        else:
            self.edit(role, entity, external_id)
        for link in tied:
            if link.system != role:
                self.edit(other(role), entity, link.external_id)

    def edit(self, role: Role, entity: str, external_id: str) -> None:
        """Somebody, who sees what stands there, gives a field another value; nobody does where the
        record is gone."""
        object, payload = self._opened(role, entity, external_id)
        if payload is None:
            return
        path, value, old = self._another_value(role, entity, payload)
        gone = tokens(old) - tokens(value)
        self.edits.seen |= gone
        self.edits.replaced.update(dict.fromkeys(gone, external_id))
        changes = nested(path, value)
        if role != self.role:
            self.memory.put(object, external_id, changes)
        elif not self._begun(object, external_id, changes):
            self.simulated.edit(object, external_id, changes)
        self._done(f"edit {role} {entity} {external_id} {path}")

    def _opened(self, role: Role, entity: str,
                external_id: str) -> tuple[str, dict[str, Any] | None]:
        """The object of a record, and its `payload` once nobody else holds it."""
        object = self.mapping(role, entity).object
        if role == self.role:
            self.unlock(object, external_id)
        return object, self.payload(role, entity, external_id)

    def _another_value(self, role: Role, entity: str, payload: Payload) -> tuple[str, Any, Any]:
        """A field, what somebody writes into it, and what stood there."""
        records, theirs = self.simulated.records[entity], self.simulated.mappings[entity]
        path = self.chance.choice((*records.texts, *records.amounts))
        code = code_at(theirs, path)
        value: Any = None
        if path in records.amounts:
            number = Decimal(self.chance.randrange(1, 10**6)) / 100
            value = code.encode(number) if role == self.role and code.encode else number
        elif path not in records.blank or self.chance.random() < 0.85:
            value = self.token()
        if role != self.role:
            return code.name, value, payload.get(code.name)
        return path, value, at(payload, tuple(path.split(".")))

    def _begun(self, object: str, external_id: str, changes: Payload) -> bool:
        """Whether an edit was begun whose transaction stays open for a while."""
        if self.simulated.late is None or self.look_back <= 1 \
                or not self.faults.happens("committed_late"):
            return False
        until = self.clock.now() + timedelta(seconds=self.chance.uniform(0, self.look_back - 1))
        commit = self.simulated.late(object, external_id, changes)
        self.clock.open.append(Late(object, external_id, until, commit))
        return True

    def delete(self, role: Role, entity: str, external_id: str) -> None:
        """Somebody, who sees what stands there, deletes a record."""
        object, payload = self._opened(role, entity, external_id)
        if payload is None:
            return
        self.edits.seen |= tokens(payload)
        if role == self.role:
            self.simulated.delete(object, external_id)
            self.listed.pop(entity, None)
        else:
            self.memory.delete(object, external_id)
        self._done(f"delete {role} {entity} {external_id}")


def _in_use(blank: Payload) -> dict[str, Any]:
    return {"active": True} if "active" in blank else {}
