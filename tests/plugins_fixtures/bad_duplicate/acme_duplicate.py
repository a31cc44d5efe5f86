from gadkit import Component, hookimpl


@hookimpl
def gadkit_losses():
    return [Component(name="twin", summary=f"Number {n}", target="acme_duplicate:Twin") for n in (1, 2)]
