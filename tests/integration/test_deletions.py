"""What comes of a record that was deleted or archived on one side, edited meanwhile or not, on the
other; and of one that comes back. Every rule, both directions, every way a deletion shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from connector.domain.ledger import ConflictState
from connector.domain.policies import CRM, ERP, OnDelete, Role, other
from tests.integration.deletions import IN_USE, KINDS, NAME, TOWN, Company

OPEN, SETTLED = ConflictState.OPEN, ConflictState.SETTLED
ROLES: tuple[Role, Role] = (CRM, ERP)
POLICIES: tuple[OnDelete, ...] = ("deactivate", "propagate", "restore", "unlink", "manual")
AGAINST, ASKED = ("update_against_delete", OPEN), ("deleted", OPEN)
OVERRULED = ("update_against_delete", SETTLED)

NewCompany = Callable[..., Company]


@pytest.fixture
def company() -> Iterator[NewCompany]:
    """Makes companies: the rule, how a deletion shows on which side, tombstones on the other."""
    made = []

    def new(on_delete: OnDelete, shows: str, gone: Role, *entities: str) -> Company:
        kinds = {gone: shows, other(gone): "tombstone"}
        made.append(Company(on_delete, kinds, ("customer", *entities)))
        return made[-1]

    yield new
    for one in made:
        one.store.close()


class End(NamedTuple):
    """How it ends: the side it was deleted on, the other side, and what is kept of a conflict."""

    gone: str
    survivor: str
    conflict: tuple[str, ConflictState] | None = None


ENDS: dict[tuple[str, OnDelete, bool], End] = {
    # how it shows, the rule, whether the other side edited the record: deleted there, other side
    ("deletion", "deactivate", False): End("gone", "idle"),
    ("deletion", "deactivate", True): End("gone", "use", AGAINST),
    ("deletion", "propagate", False): End("gone", "gone"),
    ("deletion", "propagate", True): End("gone", "use", AGAINST),
    ("deletion", "restore", False): End("use", "use"),
    ("deletion", "restore", True): End("use", "use", OVERRULED),
    ("deletion", "unlink", False): End("gone", "use"),
    ("deletion", "unlink", True): End("gone", "use"),
    ("deletion", "manual", False): End("gone", "use", ASKED),
    ("deletion", "manual", True): End("gone", "use", AGAINST),
    ("archive", "deactivate", False): End("idle", "idle"),
    ("archive", "deactivate", True): End("idle", "idle"),
    ("archive", "propagate", False): End("idle", "gone"),
    ("archive", "propagate", True): End("idle", "use", AGAINST),
    ("archive", "restore", False): End("use", "use"),
    ("archive", "restore", True): End("use", "use", OVERRULED),
    ("archive", "unlink", False): End("idle", "use"),
    ("archive", "unlink", True): End("idle", "use"),
    ("archive", "manual", False): End("idle", "use", ASKED),
    ("archive", "manual", True): End("idle", "use", AGAINST),
}


def end_of(shows: str, on_delete: OnDelete, edited: bool) -> End:
    """What is expected; a deletion that shows nowhere is met when the record is written."""
    if shows == "none" and not edited:
        return End("gone", "use")
    return ENDS["archive" if shows == "archive" else "deletion", on_delete, edited]


CASES = [pytest.param(shows, on_delete, gone, edited, id=(
    f"{shows}-{on_delete}-{gone}-{'edited' if edited else 'as it was'}"))
    for shows in KINDS for on_delete in POLICIES for gone in ROLES for edited in (False, True)]


def deleted(company: NewCompany, shows: str, on_delete: OnDelete, gone: Role,
            edited: bool) -> Company:
    """A company after the deletion."""
    one = company(on_delete, shows, gone)
    one.vanish(gone)
    if edited:
        one.edit(other(gone))
    one.sync()
    return one


def held(one: Company, gone: Role) -> tuple[str, str]:
    return one.state(gone), one.state(other(gone))


@pytest.mark.parametrize(("shows", "on_delete", "gone", "edited"), CASES)
def test_a_deletion(company: NewCompany, shows: str, on_delete: OnDelete, gone: Role,
                    edited: bool) -> None:
    one, end = deleted(company, shows, on_delete, gone, edited), end_of(shows, on_delete, edited)
    assert held(one, gone) == (end.gone, end.survivor)
    kept = one.conflicts()
    assert [(c.kind, c.state) for c in kept] == ([] if end.conflict is None else [end.conflict])
    for conflict in kept:
        values: dict[Role, Any] = {CRM: conflict.crm, ERP: conflict.erp}
        assert values[gone] == ("archived" if shows == "archive" else "deleted")
        assert conflict.path == ""
        assert (conflict.base["city"], values[other(gone)]["city"]) == (
            "Berlin", "Bonn" if edited else "Berlin")
        assert conflict.settled_by == ("on_delete: restore" if end.conflict == OVERRULED else "")
    if edited and "gone" not in (end.gone, end.survivor) and on_delete in ("restore", "deactivate"):
        assert one.towns() == {"Bonn"}
    one.quiet()


@pytest.mark.parametrize("take", ROLES)
@pytest.mark.parametrize(("shows", "on_delete", "gone", "edited"), CASES)
def test_what_a_person_decides_is_carried_out(company: NewCompany, shows: str, on_delete: OnDelete,
                                              gone: Role, edited: bool, take: Role) -> None:
    end = end_of(shows, on_delete, edited)
    if end.conflict not in (AGAINST, ASKED):
        return
    one = deleted(company, shows, on_delete, gone, edited)
    (asked,) = one.conflicts()
    one.engine.resolve(asked, {"take": take})
    if take == gone:
        assert held(one, gone) == (end.gone, "gone" if on_delete == "propagate" else "idle")
    elif shows == "archive":
        assert held(one, gone) == ("use", "use")
        assert one.towns() == {"Bonn" if edited else "Berlin"}
    else:
        assert held(one, gone) == ("gone", "use")
    assert [(c.id, c.state, c.settled_by) for c in one.conflicts()] == [
        (asked.id, SETTLED, "a person")]
    one.quiet()
    if one.state(other(gone)) != "gone":  # and nobody is asked again for another edit
        one.edit(other(gone), "Ulm")
        one.sync()
        assert len(one.conflicts()) == 1
        one.quiet()


# ---- it comes back

SHOWN = [shows for shows in KINDS if shows != "none"]


@pytest.mark.parametrize("gone", ROLES)
@pytest.mark.parametrize("shows", SHOWN)
@pytest.mark.parametrize("on_delete", ["deactivate", "unlink", "manual"])
def test_what_comes_back_is_the_same_record(company: NewCompany, shows: str, on_delete: OnDelete,
                                            gone: Role) -> None:
    one = company(on_delete, shows, gone)
    before, external_id = one.identity(), one.living(gone)[0]
    one.vanish(gone)
    one.sync()
    one.come_back(gone, external_id)
    one.sync()
    assert held(one, gone) == ("use", "use")
    assert one.identity() == before
    assert one.conflicts(OPEN) == []
    one.edit(other(gone))
    one.sync()
    assert one.towns() == {"Bonn"}
    one.quiet()


@pytest.mark.parametrize("gone", ROLES)
@pytest.mark.parametrize("shows", SHOWN)
def test_what_was_deleted_with_it_is_made_anew(company: NewCompany, shows: str,
                                               gone: Role) -> None:
    one = company("propagate", shows, gone)
    mine, theirs = one.living(gone)[0], one.living(other(gone))[0]
    canonical_id = one.identity()[gone, mine][0]
    one.vanish(gone)
    one.sync()
    assert one.state(other(gone)) == "gone"
    one.come_back(gone, mine)
    one.sync()
    assert held(one, gone) == ("use", "use")
    (anew,) = one.living(other(gone))
    assert anew != theirs
    assert one.identity() == {
        (gone, mine): (canonical_id, False, True), (other(gone), anew): (canonical_id, False, True),
        (other(gone), theirs): (canonical_id, True, False)}
    one.quiet()


@pytest.mark.parametrize("gone", ROLES)
@pytest.mark.parametrize("shows", ["tombstone", "absence"])
@pytest.mark.parametrize("on_delete", ["deactivate", "propagate", "restore", "manual"])
def test_deleted_on_both_sides_it_comes_back_on_both(company: NewCompany, shows: str,
                                                     on_delete: OnDelete, gone: Role) -> None:
    one = company(on_delete, shows, gone)
    mine = one.living(gone)[0]
    canonical_id = one.identity()[gone, mine][0]
    one.vanish(gone)
    one.vanish(other(gone))
    one.sync()
    assert held(one, gone) == ("gone", "gone")
    one.quiet()
    one.come_back(gone, mine)
    one.sync()
    assert held(one, gone) == ("use", "use")
    assert {cid for cid, _, _ in one.identity().values()} == {canonical_id}
    one.quiet()


@pytest.mark.parametrize("gone", ROLES)
@pytest.mark.parametrize("shows", ["tombstone", "absence"])
def test_edits_made_meanwhile_meet_when_it_comes_back(company: NewCompany, shows: str,
                                                      gone: Role) -> None:
    one = company("deactivate", shows, gone)
    external_id = one.living(gone)[0]
    one.vanish(gone)
    one.sync()
    one.edit(other(gone))
    one.sync()
    one.come_back(gone, external_id)
    object = "accounts" if gone == CRM else "debtors"
    one.system(gone).put(object, external_id, {NAME[gone]: "Acme AG"})
    one.sync()
    assert held(one, gone) == ("use", "use")
    assert one.towns() == {"Bonn"}
    assert {one.rows(role)[one.living(role)[0]][NAME[role]] for role in ROLES} == {"Acme AG"}
    one.quiet()


@pytest.mark.parametrize("gone", ROLES)
@pytest.mark.parametrize("on_delete", ["deactivate", "propagate"])
def test_what_is_entered_anew_takes_the_deleted_ones_place(company: NewCompany,
                                                           on_delete: OnDelete,
                                                           gone: Role) -> None:
    one = company(on_delete, "tombstone", gone)
    canonical_id = one.identity()[gone, one.living(gone)[0]][0]
    one.vanish(gone)
    one.sync()
    object, vat = ("accounts", "tax_no") if gone == CRM else ("debtors", "vat_no")
    entered = {NAME[gone]: "Acme", vat: "DE1", TOWN[gone]: None, **IN_USE[gone],
               "currency" if gone == CRM else "cur": "EUR"}
    one.system(gone).put(object, "again", entered)
    one.sync()
    assert held(one, gone) == ("use", "use")
    assert one.identity()[gone, "again"] == (canonical_id, False, True)
    if on_delete == "deactivate":  # what it was not given is filled, and nothing is blanked
        assert one.towns() == {"Berlin"}
    assert one.conflicts() == []
    one.quiet()


# ---- it is restored

def test_a_restored_record_is_one_and_those_that_name_it_follow(company: NewCompany) -> None:
    one = company("restore", "tombstone", CRM, "contact")
    one.system(CRM).put("people", "P", {"account": "A", "name": "Eve", "active": True})
    one.system(CRM).put("people", "Q", {"account": "A", "name": "Ada", "active": True})
    one.sync()
    persons = one.system(ERP).objects["persons"]
    debtor = one.living(ERP)[0]
    one.vanish(CRM)
    one.sync()
    (anew,) = one.living(CRM)
    assert anew != "A"
    assert one.living(ERP) == [debtor]
    people = one.system(CRM).objects["people"]
    assert {ext: row.payload["account"] for ext, row in people.items()} == {"P": anew, "Q": anew}
    assert {row.payload["debtor"] for row in persons.values()} == {debtor}
    assert len(persons) == 2
    one.quiet()
    one.system(ERP).put("persons", "new", {"debtor": debtor, "surname": "Bob", "locked": False})
    one.sync()
    assert {row.payload["account"] for row in people.values()} == {anew}
    one.quiet()


def test_what_was_restored_may_be_deleted_and_restored_again(company: NewCompany) -> None:
    one = company("restore", "tombstone", ERP)
    seen = {one.living(ERP)[0]}
    for _ in range(3):
        one.vanish(ERP)
        one.sync()
        (anew,) = one.living(ERP)
        assert anew not in seen
        seen.add(anew)
        one.quiet()
    assert sum(not alias for _, alias, _ in one.identity().values()) == 2


def test_an_undeleted_one_beside_the_restored_one_is_an_alias(company: NewCompany) -> None:
    one = company("restore", "tombstone", CRM)
    one.vanish(CRM)
    one.sync()
    one.come_back(CRM, "A")
    one.sync()
    assert len(one.living(CRM)) == 2
    assert len(one.living(ERP)) == 1
    assert one.identity()[CRM, "A"][1:] == (True, True)
    one.quiet()


class Died(BaseException):
    """The process is gone."""


POINTS = ("intents recorded", "before write", "after write", "results not kept", "results kept")


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("gone", ROLES)
@pytest.mark.parametrize("edited", [False, True])
def test_dying_while_it_is_restored_makes_no_second_one(company: NewCompany, gone: Role,
                                                        edited: bool, point: str) -> None:
    one = company("restore", "tombstone", gone)
    one.vanish(gone)
    if edited:
        one.edit(other(gone))

    def die(at: str) -> None:
        if at == point:
            raise Died

    one.crash = die
    with pytest.raises(Died):
        one.sync()
    one.crash = lambda _point: None
    one.clock.sleep(3600)  # the dead process's lease is up
    one.sync()
    assert held(one, gone) == ("use", "use")
    assert one.towns() == {"Bonn" if edited else "Berlin"}
    assert len(one.system(gone).objects["accounts" if gone == CRM else "debtors"]) == 2
    one.quiet()
    one.edit(gone, "Ulm")
    one.sync()
    assert one.towns() == {"Ulm"}
    assert TOWN[gone] in one.rows(gone)[one.living(gone)[0]]
