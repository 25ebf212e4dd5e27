"""The reference's commands and options, as a table.

Source: `devcontainer COMMAND --help` of @devcontainers/cli 0.89.0.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

# The version whose command lines these are. Tools that call it compare versions.
VERSION = "0.89.0"


class Option(NamedTuple):
    """An option: a text, or a switch; one of `choices`; or given several times (`many`).

    `default` holds where it is not given, `needs` is another one without which it makes no sense. A `hidden` one is in
    no help.
    """

    name: str
    help: str
    switch: bool = False
    choices: tuple[str, ...] = ()
    default: str | None = None
    many: bool = False
    needs: str | None = None
    short: str = ""
    required: bool = False
    hidden: bool = False


class Command(NamedTuple):
    """A command: its words, what it does, its options, and its positional arguments as `usage` shows them.

    `rest` means that everything behind the first positional argument belongs to it.
    """

    words: str
    help: str
    options: tuple[Option, ...]
    usage: str = ""
    rest: bool = False


_switch = partial(Option, switch=True)

EVERYWHERE = (
    _switch("help", "Show help."),
    _switch("version", "Show version number."),
    _switch("oci-auth-hardening", "Restrict what registries are told of credentials."),
    Option("allow-cross-origin-auth-host", "An authentication host of another origin: REGISTRY=HOST.", many=True),
)
_USER_DATA = Option("user-data-folder", "Folder on the host that is kept between sessions.")
_DOCKER = Option("docker-path", "The docker program.")
_COMPOSE = Option("docker-compose-path", "The docker compose program.")
_DATA = (
    Option("container-data-folder", "Folder in the container for the user's marks."),
    Option("container-system-data-folder", "Folder in the container for the system's marks."),
)
_SESSION = Option("container-session-data-folder", "Folder in the container for what is learned of it.")
_FOLDER = Option("workspace-folder", "The workspace; by default the current folder.")
_CONFIG = Option("config", "The devcontainer.json; by default the workspace's own.")
_OVERRIDE = Option("override-config", "A file that is read in the place of the devcontainer.json.")
_LABELS = Option("id-label", "Label NAME=VALUE by which the container is known.", many=True)
_CONTAINER = Option("container-id", "The container.")
_MOUNTED = (
    _switch("mount-workspace-git-root", "Mount the whole repository.", default="true"),
    _switch("mount-git-worktree-common-dir", "Mount what git needs of a worktree's repository."),
)
_LOG = (
    Option("log-level", "How much is logged.", choices=("info", "debug", "trace"), default="info"),
    Option("log-format", "How it is logged.", choices=("text", "json"), default="text"),
)
_TERMINAL = (
    Option("terminal-columns", "Columns of the terminal.", needs="terminal-rows"),
    Option("terminal-rows", "Rows of the terminal.", needs="terminal-columns"),
)
_PROBE = Option(
    "default-user-env-probe",
    "What holds where nobody says userEnvProbe.",
    choices=("none", "loginInteractiveShell", "interactiveShell", "loginShell"),
    default="loginInteractiveShell",
)
_REMOTE_ENV = Option("remote-env", "Variable NAME=VALUE for the commands of this call.", many=True)
_SKIP_CREATE = _switch("skip-post-create", "Run no lifecycle command in the container, and install no dotfiles.")
_SKIP_NON_BLOCKING = _switch("skip-non-blocking-commands", "Stop after the command that waitFor names.")
_SKIP_ATTACH = _switch("skip-post-attach", "Do not run postAttachCommand.")
_PREBUILD = _switch("prebuild", "Stop after updateContentCommand, which is run again.")
_DOTFILES = (
    Option("dotfiles-repository", "URL of a repository of dotfiles."),
    Option("dotfiles-install-command", "What installs them."),
    Option("dotfiles-target-path", "Where they are cloned to.", default="~/dotfiles"),
)
_SECRETS = Option("secrets-file", "JSON file of secrets for lifecycle commands.")
_INCLUDE = (
    _switch("include-configuration", "Include the configuration in the result."),
    _switch("include-merged-configuration", "Include the merged configuration in the result."),
)
_FEATURES = Option("additional-features", "Further Features, as JSON.")
_MAPPING = _switch("skip-feature-auto-mapping", "", hidden=True)
_LOCK = (
    _switch("experimental-lockfile", "", hidden=True),
    _switch("experimental-frozen-lockfile", "", hidden=True),
    _switch("no-lockfile", "Neither read nor write a lock file."),
    _switch("frozen-lockfile", "The lock file must be there and fit."),
)
_SYNTAX = _switch("omit-syntax-directive", "", hidden=True)
_BUILDKIT = Option("buildkit", "Whether BuildKit is used.", choices=("auto", "never"), default="auto")
_OUTPUT_FORMAT = Option("output-format", "How the answer is written.", choices=("text", "json"), default="text")
_CACHE_FROM = Option("cache-from", "Image to take layers from.", many=True)

COMMANDS = (
    Command(
        "up",
        "Create and run dev container",
        (
            _DOCKER, _COMPOSE, *_DATA, _FOLDER,
            Option("workspace-mount-consistency", "Consistency of the mount; Linux has none.",
                  choices=("consistent", "cached", "delegated"), default="cached"),
            Option("gpu-availability", "Whether there are GPUs.", choices=("all", "detect", "none"), default="detect"),
            *_MOUNTED, _LABELS, _CONFIG, _OVERRIDE, *_LOG, *_TERMINAL, _PROBE,
            Option("update-remote-user-uid-default", "What holds where nobody says updateRemoteUserUID.",
                  choices=("never", "on", "off"), default="on"),
            _switch("remove-existing-container", "Replace the container that is there."),
            _switch("build-no-cache", "Build the image from nothing."),
            _switch("expect-existing-container", "Fail if the container is not there."),
            _SKIP_CREATE, _SKIP_NON_BLOCKING, _PREBUILD, _USER_DATA,
            Option("mount", "Mount type=<bind|volume>,source=<source>,target=<target>[,external=<true|false>].",
                  many=True),
            _REMOTE_ENV, _CACHE_FROM, Option("cache-to", "Where layers are kept."), _BUILDKIT, _FEATURES, _MAPPING,
            _SKIP_ATTACH, *_DOTFILES, _SESSION,
            _switch("omit-config-remote-env-from-metadata", "", hidden=True),
            _SECRETS, *_LOCK, _SYNTAX, *_INCLUDE,
        ),
    ),
    Command(
        "set-up",
        "Set up an existing container as a dev container",
        (
            _DOCKER, *_DATA, _CONTAINER._replace(required=True), _CONFIG, *_LOG, *_TERMINAL, _PROBE, _SKIP_CREATE,
            _SKIP_NON_BLOCKING, _USER_DATA, _REMOTE_ENV, *_DOTFILES, _SESSION, *_INCLUDE,
        ),
    ),
    Command(
        "build",
        "Build a dev container image",
        (
            _USER_DATA, _DOCKER, _COMPOSE, _FOLDER, _CONFIG, *_LOG, _switch("no-cache", "Build from nothing."),
            Option("image-name", "Name of the image.", many=True), _CACHE_FROM,
            Option("cache-to", "Where layers are kept."), _BUILDKIT, Option("platform", "Platforms to build for."),
            _switch("push", "Push the image."), Option("label", "Label NAME=VALUE of the image.", many=True),
            Option("output", "Where the image goes, as docker buildx build has it."), _FEATURES, _MAPPING,
            _switch("skip-persisting-customizations-from-features", "", hidden=True), *_LOCK, _SYNTAX,
        ),
        "[path]",
    ),
    Command(
        "run-user-commands",
        "Run user commands",
        (
            _USER_DATA, _DOCKER, _COMPOSE, *_DATA, _FOLDER, *_MOUNTED, _CONTAINER, _LABELS, _CONFIG, _OVERRIDE, *_LOG,
            *_TERMINAL, _PROBE, _SKIP_NON_BLOCKING, _PREBUILD,
            _switch("stop-for-personalization", "Stop after the dotfiles."), _REMOTE_ENV, _MAPPING, _SKIP_ATTACH,
            *_DOTFILES, _SESSION, _SECRETS,
        ),
    ),
    Command(
        "read-configuration",
        "Read configuration",
        (
            _USER_DATA, _DOCKER, _COMPOSE, _FOLDER, *_MOUNTED, _CONTAINER, _LABELS, _CONFIG, _OVERRIDE, *_LOG,
            *_TERMINAL,
            _switch("include-features-configuration", "Include the Features."),
            _switch("include-merged-configuration", "Include the merged configuration."), _FEATURES, _MAPPING,
        ),
    ),
    Command(
        "outdated",
        "Show current and available versions",
        (_USER_DATA, _FOLDER, _CONFIG, _OUTPUT_FORMAT, *_LOG, *_TERMINAL),
    ),
    Command(
        "upgrade",
        "Upgrade lockfile",
        (
            _FOLDER, _DOCKER, _COMPOSE, _CONFIG,
            Option("log-level", "How much is logged.", choices=("error", "info", "debug", "trace"), default="info"),
            _switch("dry-run", "Write the lock file to stdout."),
            Option("feature", "", short="f", needs="target-version", hidden=True),
            Option("target-version", "", short="v", needs="feature", hidden=True),
        ),
    ),
    Command(
        "features info",
        "Fetch metadata for a published Feature",
        (_LOG[0], _OUTPUT_FORMAT),
        "<mode> <feature>",
    ),
    Command(
        "features resolve-dependencies",
        "Read and resolve dependency graph from a configuration",
        (
            Option("log-level", "How much is logged.", choices=("error", "info", "debug", "trace"), default="error"),
            _FOLDER,
        ),
    ),
    Command(
        "templates apply",
        "Apply a template to the project",
        (
            _FOLDER._replace(short="w"),
            Option("template-id", "The Template.", short="t", required=True),
            Option("template-args", "Values for its options, as JSON.", short="a", default="{}"),
            Option("features", "Features to add, as JSON.", short="f", default="[]"),
            _LOG[0],
            Option("tmp-dir", "Folder for temporary files."),
            Option("omit-paths", "Paths to leave out, as JSON.", default="[]"),
        ),
    ),
    Command(
        "exec",
        "Execute a command on a running dev container",
        (
            _USER_DATA, _DOCKER, _COMPOSE, *_DATA, _FOLDER, *_MOUNTED, _CONTAINER, _LABELS, _CONFIG, _OVERRIDE, *_LOG,
            *_TERMINAL, _PROBE, _REMOTE_ENV, _MAPPING,
        ),
        "<cmd> [args..]",
        rest=True,
    ),
)  # fmt: skip
BY_WORDS = {command.words: command for command in COMMANDS}
