"""Signs of a game that goes wrong although all its numbers are finite, told in plain words with what usually helps."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

#: No sign counts before so many steps: two new nets look like any trouble.
GRACE = 200

#: The generator's gradient is gone below that share of the largest it was, and there again above ten times that.
_GONE = 1e-3
#: Logits are large from here on: the sigmoid of 10 is 1 - 5e-5.
_LARGE = 10.0
#: The discriminator makes no mistakes from that accuracy on, and makes some again below the other.
_WON, _CONTESTED = 0.995, 0.98
#: It draws away where the gap between its logits grows by that factor over the window.
_GROWTH = 1.05
#: Steps over which winning is judged.
_WINDOW = 200
#: The discriminator takes generated clips for real ones below that accuracy, and is back in the game above the other.
_LOST, _BACK = 0.1, 0.3
#: Generated clips are alike where they differ by less than that share of what real ones do, and different again above
#: the other.
_ALIKE, _DIFFERENT = 0.1, 0.2


#: Logits explode beyond the first, and are well again below the second.
_EXPLODED, _CALM = 1e6, 1e4


class Sign(NamedTuple):
    """A sign of trouble: its kind, `explosion`, `saturation`, `winning`, `losing` or `diversity`, and a sentence."""

    kind: str
    sentence: str


class Health:
    """Reads a run's log as it grows, and warns once of each kind of trouble until that has passed.

    It depends on nothing but the lines, so that a resumed run that shows it the old ones goes on where it was.

    - `explosion`: the logits are above a million in size; told at once. Soon numbers are not finite any more.
    - `saturation`: the logits are large and the generator's gradient is gone, for 100 steps: below 1/1000 of the
      largest that it was. Logits alone say nothing: those of `wasserstein` have no bound.
    - `winning`: in 200 steps the discriminator mistook no more than 1 pair of clips in 200, and the gap between the
      logits of real and of generated clips grew. Accuracy alone says nothing: healthy runs have .99 in their first
      hundreds of steps, and 1 with `lsgan` and `rpgan`, while the gap shrinks.
    - `losing`: for 100 steps the discriminator took generated clips for real ones and real ones for generated: the
      generator follows it faster than it can learn. Equal logits are no sign: with these the game is meant to end.
    - `diversity`: generated clips of a batch differ from each other by less than a tenth of what real ones do, for 200
      steps.

    The bounds were set on 20 runs of the recipe `demo` on the clips that come with gadkit, of 300 to 1,500 steps, seen
    from step 200 on. In the healthy ones (`nonsaturating` with `r1`, `rpgan` with `r1r2`, `wasserstein` with `wgan-gp`,
    and four losses without a penalty) the generator's gradient stayed above .16 of its largest value, clips differed
    by at least .49 of what real ones do, the accuracy never was below .75, and below .95 over any 200 steps in which
    the gap grew.

    Provoked ones: with `--loss minimax --penalty none --discriminator-lr .003` logits went to 100 and the gradient to
    exactly 0 within 200 steps. With `--penalty none --generator-lr 1e-5` the accuracy was 1 from step 150 to 450 and
    the gap grew by a fifth. With `--loss hinge --penalty none --set generator.norm=none --generator-lr .005
    --discriminator-lr 1e-4` it was 0 from step 200 on. The least diverse of them still differed by .22.
    """

    def __init__(self) -> None:
        self._saturation, self._losing, self._diversity = _Streak(100), _Streak(100), _Streak(200)
        self._winning = _Streak(0)  # has a window of its own
        self._exploded = False
        self._before = 0
        self._largest = 0.0
        self._window: deque[tuple[int, float, float]] = deque()  # step, accuracy, gap

    def see(self, step: int, values: Mapping[str, float]) -> list[Sign]:
        """Takes a line of the log.

        Args:
            step: Its step; later than that of the line before.
            values: Its values, means since the line before: `logits/real`, `logits/fake`, `logits/spread` (mean
                absolute value), `accuracy` (share of pairs whose real logit is above the generated one's),
                `difference/real`, `difference/fake` (mean absolute difference of two clips, pixels in [-1, 1]) and
                `gradient/generator` (norm). Others are passed over; what needs a missing one is not judged.

        Returns:
            What is to be told now, mostly nothing.
        """
        judges = (
            self._see_explosion,
            self._see_saturation,
            self._see_winning,
            self._see_losing,
            self._see_diversity,
        )
        found = [judge(step, values) for judge in judges]
        self._before = step
        return [sign for sign in found if sign is not None]

    def _see_explosion(self, step: int, values: Mapping[str, float]) -> Sign | None:
        spread = values.get("logits/spread", 0.0)
        if self._exploded or not spread > _EXPLODED:
            self._exploded = self._exploded and not spread < _CALM
            return None
        self._exploded = True
        return Sign(
            "explosion",
            f"the discriminator's outputs explode: its logits are {spread:.3g} in size on average; what usually helps "
            "is --penalty r1 (wgan-gp with --loss wasserstein), and lower --discriminator-lr and --generator-lr, from "
            "an earlier checkpoint or a new start.",
        )

    def _see_saturation(self, step: int, values: Mapping[str, float]) -> Sign | None:
        spread, gradient = values.get("logits/spread"), values.get("gradient/generator")
        if spread is None or gradient is None:
            return None
        self._largest = max(self._largest, gradient)
        level = _GONE * self._largest
        gone = gradient < level and spread > _LARGE
        if not self._saturation.see(self._before, step, gone, gradient > 10 * level):
            return None
        return Sign(
            "saturation",
            f"the discriminator's outputs are saturated: its logits are {spread:.3g} in size on average and the norm "
            f"of the generator's gradient is down to {gradient:.2g} (once {self._largest:.2g}), so that it learns "
            "nothing; what usually helps is a lower --discriminator-lr, --penalty r1 or a higher penalty.gamma, and "
            "--loss nonsaturating instead of minimax, from an earlier checkpoint or a new start.",
        )

    def _see_winning(self, step: int, values: Mapping[str, float]) -> Sign | None:
        accuracy, real, fake = (values.get(name) for name in ("accuracy", "logits/real", "logits/fake"))
        if accuracy is None or real is None or fake is None or step <= GRACE:
            return None
        self._window.append((step, accuracy, real - fake))
        while len(self._window) > 3 and self._window[0][0] <= step - _WINDOW:
            self._window.popleft()
        steps = step - self._window[0][0] + step - self._before  # the first line is a mean over steps, too
        if len(self._window) < 3 or steps < _WINDOW:
            return None
        won = sum(line[1] for line in self._window) / len(self._window)
        gaps = [line[2] for line in self._window]
        third = len(gaps) // 3
        first, last = sum(gaps[:third]) / third, sum(gaps[-third:]) / third
        drawing_away = won >= _WON and first > 0 and last > _GROWTH * first
        if not self._winning.see(self._before, step, drawing_away, won < _CONTESTED):
            return None
        return Sign(
            "winning",
            f"the discriminator wins outright: it told {won:.1%} of the real clips of the last "
            f"{steps} steps from generated ones, and the gap between their logits grew from "
            f"{first:.3g} to {last:.3g}; what usually helps is --penalty r1 or a higher penalty.gamma, a lower "
            "--discriminator-lr, and more data.",
        )

    def _see_losing(self, step: int, values: Mapping[str, float]) -> Sign | None:
        accuracy = values.get("accuracy")
        if accuracy is None or not self._losing.see(self._before, step, accuracy < _LOST, accuracy > _BACK):
            return None
        return Sign(
            "losing",
            f"the discriminator has lost: it finds generated clips more real than real ones in {1 - accuracy:.1%} of "
            "all pairs; what usually helps is a lower --generator-lr, a higher --discriminator-lr, and a lower "
            "penalty.gamma where there is a penalty.",
        )

    def _see_diversity(self, step: int, values: Mapping[str, float]) -> Sign | None:
        real, fake = values.get("difference/real"), values.get("difference/fake")
        if real is None or fake is None or real <= 0:
            return None
        share = fake / real
        if not self._diversity.see(self._before, step, share < _ALIKE, share > _DIFFERENT):
            return None
        return Sign(
            "diversity",
            f"the generated videos are nearly all alike: two of a batch differ by {fake:.2g} on average, real ones by "
            f"{real:.2g} (pixels in [-1, 1]); what usually helps is --loss rpgan with --penalty r1r2, a higher "
            "penalty.gamma, a larger --batch-size, and going back to an earlier checkpoint.",
        )


class _Streak:
    """Tells once when something has been wrong on every line for `patience` steps, and again once it was well."""

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._since: int | None = None
        self._told = False

    def see(self, before: int, step: int, wrong: bool, well: bool) -> bool:
        """Takes a line about the steps after `before` up to `step`; whether to tell now.

        Between `wrong` and `well` nothing changes but that the streak ends.
        """
        if self._told and well:
            self._told = False
        if not wrong:
            self._since = None
            return False
        if self._since is None:
            self._since = max(before, GRACE)
        if self._told or step - self._since < max(self._patience, 1):
            return False
        self._told = True
        return True
