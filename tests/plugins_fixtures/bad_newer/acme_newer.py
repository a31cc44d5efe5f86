from gadkit import API_VERSION, Component, hookimpl


@hookimpl
def gadkit_penalties():
    return [Component(name="soon", summary="Not yet", target="acme_newer:Soon", api=API_VERSION + 1)]
