"""The requirements of a rule file: values that a model's configuration, or an argument, has to have.

requires:
- {config: rope_scaling, is: null, because: "the target has no frequency scaling", otherwise: warn}
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from migrate.errors import Severity, Span
from migrate.rules.config_terms import ConfigTerms, placed_term
from migrate.rules.formula import Constant, Formula, Term
from migrate.rules.source import Value
from migrate.tree import KeyPath

NULL = Constant("null")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement.

    Attributes:
      wanted: the values of which it has to be one: constants, or formulas over the configuration.
      because: the reason, as the end of a sentence.
      terms: what is read from the configuration; None for an argument.
      argument: the name of the argument; empty for the configuration.
      value: the value of the argument.
      default: what the absence of the names means.
      warns: whether a violation is a warning.
      source: the source whose configuration it is; empty for the main source.
    """

    span: Span
    wanted: tuple[Term, ...]
    because: str
    terms: ConfigTerms | None = None
    argument: str = ""
    value: Value = None
    default: Constant = NULL
    warns: bool = False
    source: str = ""

    @property
    def severity(self) -> Severity:
        """The severity of a violation."""
        return "warning" if self.warns else "error"

    def below(self, place: KeyPath) -> Requirement:
        """Returns the requirement for a configuration in which the names are below a place."""
        if not place:
            return self
        wanted = tuple(placed_term(one, place) if isinstance(one, Formula) else one for one in self.wanted)
        return replace(self, wanted=wanted, terms=self.terms and self.terms.below(place))
