"""The second driver: hypothesis chooses the moves, and shortens a list that breaks a promise in its own way.

It makes the same worlds as the seeds do, but leans on what it has found to be interesting, and its choices shrink:
fewer moves, earlier kinds, smaller numbers. `runs.py` says which moves there are, `themes.py` how likely
each is.
"""

from contextlib import ExitStack
from random import Random

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.simulation import runs, themes
from tests.simulation.seams import modelled
from tests.simulation.world import World

CHOICES = st.randoms(use_true_random=False)


class Machine(RuleBasedStateMachine):
    """One world. Every move is followed by the checks of what must be true at each moment; at the end it heals."""

    def __init__(self) -> None:
        super().__init__()
        self.made = 0
        self._model = ExitStack()
        self._model.enter_context(modelled())
        self._world: World | None = None

    @initialize(chance=CHOICES)
    def begin(self, chance: Random) -> None:
        """A world, settled or not."""
        self._theme = themes.theme_of(chance)
        self._world = World(themes.shape_of(chance, self._theme), seed=0)
        if self._world.shape.settled:
            runs.settle(self._world)

    @rule(chance=CHOICES)
    def move(self, chance: Random) -> None:
        """Whatever may happen next."""
        assert self._world is not None
        move = runs.choose(self._world, self._theme, chance, self.made, moves=runs.MOVES)
        note(str(move))
        self._world.apply(move)
        self.made += 1

    def teardown(self) -> None:
        """Everything goes well from here on: the promises must hold."""
        try:
            if self._world:
                runs.end(self._world)
        finally:
            if self._world:
                runs.close(self._world)
            self._model.close()
