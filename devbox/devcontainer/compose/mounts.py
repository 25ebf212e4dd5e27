"""Mounts in the words of a compose file, and the way to write one.

Source of the keys: the Compose specification, https://github.com/compose-spec/compose-spec
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from devbox.errors import ContractError

if TYPE_CHECKING:
    from devbox.devcontainer.jsonc import JSON
    from devbox.engine.spec import Mount


# What is a character to JSON, and an end of a line, or none at all, to YAML.
_NO_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def text_of(data: JSON) -> str:
    """Return a compose file: JSON, which docker compose reads as YAML."""
    text = json.dumps(data, ensure_ascii=False, indent=1)
    return _NO_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"


def escaped(text: str) -> str:
    """Return `text` as a compose file writes it: a `$` would begin a variable."""
    return text.replace("$", "$$")


def escaped_values(value: Any) -> Any:
    """Return data with each `$` of its strings doubled; keys stay as they are."""
    if isinstance(value, dict):
        return {key: escaped_values(item) for key, item in value.items()}
    if isinstance(value, list):
        return [escaped_values(item) for item in value]
    return escaped(value) if isinstance(value, str) else value


def long_form(mount: Mount) -> JSON:
    """Return a mount in compose's long form, its `$` as they are. Raises ContractError for what it cannot say."""
    options = {key.lower(): value for key, value in mount.options}
    own: JSON = {}
    if mount.type == "bind":
        if "bind-propagation" in options:
            own["propagation"] = options["bind-propagation"]
    elif mount.type == "volume":
        if "volume-nocopy" in options:
            own["nocopy"] = options["volume-nocopy"] in {None, "true", "1"}
        if "volume-subpath" in options:
            own["subpath"] = options["volume-subpath"]
    else:
        if "tmpfs-size" in options:
            own["size"] = options["tmpfs-size"]
        if "tmpfs-mode" in options:
            own["mode"] = _octal(options["tmpfs-mode"], mount)
    item: JSON = {
        "type": mount.type,
        "source": mount.source,
        "target": mount.target,
        "read_only": mount.readonly or None,
        "consistency": options.get("consistency"),
        mount.type: own,
    }
    return {key: value for key, value in item.items() if value}


def driver(mount: Mount) -> JSON:
    """Return the definition of a volume that a mount names: its driver and the driver's options."""
    name = next((value for key, value in mount.options if key == "volume-driver"), None)
    pairs = [(value or "").partition("=") for key, value in mount.options if key == "volume-opt"]
    labels = [(value or "").partition("=") for key, value in mount.options if key == "volume-label"]
    definition: JSON = {
        "driver": name or ("local" if pairs else None),
        "driver_opts": {key: value for key, _, value in pairs},
        "labels": {key: value for key, _, value in labels},
    }
    return {key: value for key, value in definition.items() if value}


def _octal(text: str | None, mount: Mount) -> int:
    try:
        return int(text or "", 8)
    except ValueError:
        raise ContractError(f"the mount '{mount.csv()}' has no octal 'tmpfs-mode'") from None
