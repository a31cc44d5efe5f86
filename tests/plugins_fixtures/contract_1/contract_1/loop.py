"""A trainer of contract 1, with the names of `gadkit.engine` that one needs."""

import torch

from gadkit import Noise, Trainer
from gadkit.engine import Meter, judge, load_optimiser_state, optimiser_state, total


class Loop(Trainer):
    """Both players in turn, by SGD.

    Args:
        batch_size: Clips a step.
        rate: The learning rate.
    """

    needs = ("generator", "assembler", "discriminator", "loss")
    takes = ("penalty",)

    def __init__(self, *, batch_size: int = 4, rate: float = 1e-2) -> None:
        self.batch_size, self.rate = batch_size, rate

    def fit(self, session):
        training = Players(self, session)
        course = session.course(training)
        for step in course:
            training.advance(step)
        return course.ended


class Players:
    def __init__(self, trainer, session):
        self.trainer, self.session, self.meter = trainer, session, Meter()
        self.models = {"generator": session.generator, "assembler": session.assembler}
        self.nets = {**self.models, "discriminator": session.discriminator}
        for net in self.nets.values():
            session.engine.place(net)
        making = [*session.generator.parameters(), *session.assembler.parameters()]
        rate = trainer.rate * session.attempt.rate
        self.players = [
            torch.optim.SGD(session.discriminator.parameters(), lr=rate, momentum=0.5),
            torch.optim.SGD(making, lr=rate, momentum=0.5),
        ]

    def advance(self, step):
        session, engine = self.session, self.session.engine
        samples = step * self.trainer.batch_size + torch.arange(self.trainer.batch_size)
        real, labels = session.clips.batch(session.clips.select(samples), None, engine.device, engine.dtype)
        noise = Noise(session.key.fold("noise"), samples, device=engine.device, dtype=engine.dtype)
        fake = session.assembler.clip(session.generator, noise, labels=labels)
        net = session.discriminator
        for name, optimiser in zip(("discriminator", "generator"), self.players, strict=True):
            judged = [total(net, judge(net, each, labels)) for each in (real, fake)]
            if name == "discriminator":
                loss = session.loss.discriminator(*judged)
            else:
                loss = session.loss.generator(judged[1], judged[0])
            session.watch.losses({f"loss/{name}": loss})
            parameters = optimiser.param_groups[0]["params"]
            gradients = torch.autograd.grad(loss, parameters, retain_graph=True)
            session.watch.gradients(parameters, gradients)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            if name == "generator":
                for each in self.players:
                    each.step()
            self.meter.add(f"loss/{name}", loss)

    def read(self):
        return self.meter.read(self.session.engine)

    def state(self):
        players = [optimiser_state(each) for each in self.players]
        return {"players": players, "meter": self.meter.state_dict(self.session.engine)}

    def load(self, state):
        for optimiser, own in zip(self.players, state["players"], strict=True):
            load_optimiser_state(optimiser, own)
        self.meter.load_state_dict(state["meter"], self.session.engine)
