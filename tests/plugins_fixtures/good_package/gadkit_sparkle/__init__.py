from gadkit import Component, hookimpl


@hookimpl
def gadkit_generators():
    return [Component(name="sparkle", summary="One linear map a frame", target="gadkit_sparkle.nets:Sparkle")]


@hookimpl
def gadkit_losses():
    return [Component(name="logistic", summary="Bounded logits", target="gadkit_sparkle.nets:Logistic")]
