"""Every hook of contract 1, with its arguments of then."""

from gadkit import Component, hookimpl

CALLS = []


def _offer(target):
    return [Component(name="contract", summary="Contract 1", target=f"contract_1.{target}", api=1, source="none")]


@hookimpl
def gadkit_generators():
    return _offer("nets:Frames")


@hookimpl
def gadkit_assemblers():
    return _offer("nets:Walk")


@hookimpl
def gadkit_discriminators():
    return _offer("nets:Judge")


@hookimpl
def gadkit_losses():
    return _offer("rules:Squares")


@hookimpl
def gadkit_penalties():
    return _offer("rules:Slope")


@hookimpl
def gadkit_augmentations():
    return _offer("rules:Mirror")


@hookimpl
def gadkit_directions():
    return _offer("rules:Turns")


@hookimpl
def gadkit_refiners():
    return _offer("rules:Nudge")


@hookimpl
def gadkit_trainers():
    return _offer("loop:Loop")


@hookimpl
def gadkit_datasets():
    return _offer("data:Ramps")


@hookimpl
def gadkit_features():
    return _offer("measures:Means")


@hookimpl
def gadkit_metrics():
    return _offer("measures:Gap")


@hookimpl
def gadkit_protocols():
    return [Component(name="contract", summary="Contract 1", target="contract_1:protocol.toml", api=1)]


@hookimpl
def gadkit_recipes():
    return [Component(name="contract", summary="Contract 1", target="contract_1:recipe.toml", api=1)]


@hookimpl
def gadkit_trackers():
    return _offer("tracker:Notes")


@hookimpl
def gadkit_commands():
    return _offer("command:contract")


@hookimpl
def gadkit_run_started(folder, config, step):
    CALLS.append(("started", folder.is_dir(), config["seed"], step))


@hookimpl
def gadkit_step_logged(folder, step, values):
    CALLS.append(("logged", step, sorted(values)))


@hookimpl
def gadkit_event_logged(folder, step, event, text):
    CALLS.append(("event", step, event, text))


@hookimpl
def gadkit_samples_written(folder, step, path):
    CALLS.append(("samples", step, path.is_file()))


@hookimpl
def gadkit_run_ended(folder, step, reason):
    CALLS.append(("ended", step, reason))
