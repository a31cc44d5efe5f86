from gadkit import Component, hookimpl


@hookimpl
def gadkit_generatrs():
    return [Component(name="typo", summary="Never seen", target="acme_hook:Typo")]
