"""A pair at work: two sides, the entities they share, and the rules in force for each field."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b

from connector.domain.entities import ENTITIES, Entity, Field
from connector.domain.policies import CRM, ERP, EntityPolicy, FieldPolicy, NewerWins, Role
from connector.mapping.compile import Mapping as FieldMap
from connector.ports import Adapter


@dataclass(frozen=True, slots=True)
class Side:
    """One of the pair's two systems, in its role, with its mapping for each entity."""

    role: Role
    system: str
    adapter: Adapter
    mappings: Mapping[str, FieldMap]


@dataclass(frozen=True, slots=True)
class Rule:
    """What is in force for one field of both sides; `name` is `phone` or `lines.quantity`."""

    name: str
    field: Field
    policy: FieldPolicy
    writable: frozenset[Role]


@dataclass(frozen=True)
class Rules:
    """The rules of an entity: header fields, line fields, who takes whole lists of lines, who
    archives instead of deleting, and from which entities of the pair its records are made."""

    entity: Entity
    policy: EntityPolicy
    header: Mapping[str, Rule]
    lines: Mapping[str, Rule]
    lines_writable: frozenset[Role]
    archives: frozenset[Role] = frozenset()
    made_from: frozenset[str] = frozenset()

    @cached_property
    def times_count(self) -> bool:
        """Whether it counts when a record was changed."""
        return any(isinstance(policy.conflict, NewerWins)
                   for policy in (self.policy.default, *self.policy.fields.values()))

    @cached_property
    def computed(self) -> tuple[str, ...]:
        """The fields that each side works out by itself."""
        return tuple(name for name, rule in self.header.items() if rule.field.computed)

    @cached_property
    def handed_off(self) -> Rules:
        """The rules for a record that the ERP has the say over: where both sides changed a field
        the ERP's value stands, its steps back too, and the remark is its own."""
        def ruled(rule: Rule) -> Rule:
            direction = "to_crm" if rule.name == "remark" else rule.policy.direction
            return replace(rule, field=replace(rule.field, forward_only=False), policy=replace(
                rule.policy, direction=direction, conflict="prefer_erp"))
        return self._with(ruled, lambda _rule: True)

    @cached_property
    def put_back(self) -> Rules:
        """The rules by which the CRM is given the ERP's values, wherever it can be written."""
        def ruled(rule: Rule) -> Rule:
            return replace(rule, field=replace(rule.field, forward_only=False),
                           policy=FieldPolicy(conflict="prefer_erp"))
        return self._with(ruled, lambda rule: CRM in rule.writable
                          and rule.policy.direction != "create_only" and rule.name != "remark")

    def asking(self, names: Collection[str]) -> Rules:
        """The rules where a person is to be asked about these header fields, as far as either
        side takes what he says."""
        return replace(self, header={
            name: replace(rule, policy=FieldPolicy())
            if name in names and len(rule.writable) == 2 else rule
            for name, rule in self.header.items()})

    def _with(self, ruled: Callable[[Rule], Rule], wanted: Callable[[Rule], bool]) -> Rules:
        def some(rules: Mapping[str, Rule]) -> dict[str, Rule]:
            return {name: ruled(rule) for name, rule in rules.items()
                    if wanted(rule) or name == self.entity.line_key}
        policy = replace(self.policy, default=FieldPolicy(conflict="prefer_erp"), fields={})
        return replace(self, policy=policy, header=some(self.header), lines=some(self.lines))

    @cached_property
    def given(self) -> Mapping[Role, tuple[tuple[str, ...], tuple[str, ...]]]:
        """By target, the header and line fields that a new counterpart there is given."""
        return {target: (tuple(n for n, rule in self.header.items() if _given(rule, target)),
                         tuple(n for n, rule in self.lines.items() if _given(rule, target)))
                for target in (CRM, ERP)}


def _given(rule: Rule, target: Role) -> bool:
    """Whether a field may be written at `target` and goes that way."""
    backwards = "to_crm" if target == ERP else "to_erp"
    return (target in rule.writable and not rule.field.computed
            and rule.policy.direction != backwards)


@dataclass(frozen=True)
class Pair:
    """Two systems, the entities they share in dependency order, and the rules."""

    name: str
    crm: Side
    erp: Side
    policies: Mapping[str, EntityPolicy]
    rules: Mapping[str, Rules] = field(init=False)

    def __post_init__(self) -> None:
        archives = frozenset(side.role for side in self.sides
                             if side.adapter.capabilities.deletions == "archive")
        rules = {name: replace(rules_in_force(ENTITIES[name], policy, self.crm.mappings[name],
                                              self.erp.mappings[name], archives),
                               made_from=_made_from(self.policies, name))
                 for name, policy in self.policies.items()}
        object.__setattr__(self, "rules", rules)

    @cached_property
    def entities(self) -> tuple[str, ...]:
        """The shared entities, parents before children."""
        return tuple(name for name in ENTITIES if name in self.policies)

    @property
    def sides(self) -> tuple[Side, Side]:
        """CRM first."""
        return self.crm, self.erp

    def side(self, role: Role) -> Side:
        """The side in this role."""
        return self.crm if role == CRM else self.erp

    @cached_property
    def key_maps(self) -> Mapping[tuple[str, Role], FieldMap]:
        """By entity and role, the mapping narrowed to what the match key needs."""
        return {(name, side.role): side.mappings[name].narrowed(policy.match)
                for name, policy in self.policies.items() for side in self.sides}

    def keys_refer(self, entity: str) -> bool:
        """Whether a part of the entity's match key is a reference, known once its record is
        linked."""
        fields = ENTITIES[entity].fields
        return any(fields[name].to for name in self.policies[entity].match if name in fields)

    def role_of(self, system: str) -> Role:
        """The role a system plays."""
        return CRM if system == self.crm.system else ERP

    def canonical_id(self, entity: str, system: str, external_id: str) -> str:
        """The canonical ID a record gets that was born there; the same whenever it is asked for,
        so that a run repeated after a crash means the same record."""
        name = f"{self.name}/{entity}/{system}/{external_id}"
        return blake2b(name.encode(), digest_size=16).hexdigest()


def _made_from(policies: Mapping[str, EntityPolicy], entity: str) -> frozenset[str]:
    return frozenset(source for source, policy in policies.items()
                     if policy.becomes is not None and policy.becomes.entity == entity)


def rules_in_force(entity: Entity, policy: EntityPolicy, crm: FieldMap, erp: FieldMap,
                   archives: frozenset[Role] = frozenset()) -> Rules:
    """The rules of each field that both sides map.

    Where only one side can be written, the field goes one way whatever the policy says; where
    none can, the field has no rule, unless each side computes it: then it is compared.
    """
    header = _in_force(entity.fields, "", policy, crm, erp)
    lines = _in_force(entity.line_fields, "lines.", policy, crm, erp)
    taking = frozenset(role for role, side in ((CRM, crm), (ERP, erp)) if "lines" in side.writable)
    return Rules(entity, policy, header, lines, taking, archives)


def _in_force(fields: Mapping[str, Field], prefix: str, policy: EntityPolicy, crm: FieldMap,
              erp: FieldMap) -> dict[str, Rule]:
    rules = {}
    for short, spec in fields.items():
        name = prefix + short
        if policy.hand_off and name == "remark" and name in crm.readable & crm.writable:
            rules[short] = Rule(name, spec, FieldPolicy("to_crm"), frozenset({CRM}))
            continue
        if name not in crm.readable or name not in erp.readable:
            continue
        writable = frozenset(role for role, side in ((CRM, crm), (ERP, erp))
                             if name in side.writable)
        if not writable and not spec.computed:
            continue
        rules[short] = Rule(name, spec, _narrowed(policy.of(name), writable), writable)
    return rules


def _narrowed(policy: FieldPolicy, writable: frozenset[Role]) -> FieldPolicy:
    if len(writable) != 1 or policy.direction == "create_only":
        return policy
    return FieldPolicy(direction="to_crm" if CRM in writable else "to_erp",
                       conflict=policy.conflict, on_blank=policy.on_blank)
