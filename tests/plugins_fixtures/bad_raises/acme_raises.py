from gadkit import hookimpl


@hookimpl
def gadkit_generators():
    return {}["sparkle"]
