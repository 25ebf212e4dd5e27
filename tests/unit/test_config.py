"""Settings: layers, origins, mistakes; and what of the network they name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox import config, masking
from devbox.config import TABLE
from devbox.config.network import network_of
from devbox.errors import ConfigError, UsageError
from devbox.facts import certificates


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Return the user's config folder and a workspace."""
    user, workspace = tmp_path / "config", tmp_path / "work space"
    user.mkdir()
    workspace.mkdir()
    monkeypatch.setenv("DEVBOX_CONFIG_DIR", str(user))
    return user, workspace


def load(workspace: Path | None, environ: dict[str, str] | None = None, **flags: object) -> config.Settings:
    return config.load(workspace, environ=environ or {}, flags=flags)


def test_defaults(places: tuple[Path, Path]) -> None:
    settings = load(None)
    assert settings.framework is None
    assert settings.ccache_size == "20G"
    assert settings.origin("ccache_size") == "default"


def test_each_layer_is_stronger_than_the_one_before(places: tuple[Path, Path]) -> None:
    user, workspace = places
    layers = [
        (user / "config.toml", str(user / "config.toml")),
        (workspace / "devbox.toml", str(workspace / "devbox.toml")),
        (workspace / "devbox.local.toml", str(workspace / "devbox.local.toml")),
    ]
    for number, (path, origin) in enumerate(layers, 1):
        path.write_text(f'arch = "1{number}.0"\n')
        assert (load(workspace).arch, load(workspace).origin("arch")) == (f"1{number}.0", origin)
    environ = {"DEVBOX_ARCH": "8.0", "DEVBOX_GPUS": ""}
    settings = load(workspace, environ)
    assert (settings.arch, settings.origin("arch"), settings.gpus) == ("8.0", "DEVBOX_ARCH", None)
    settings = load(workspace, environ, arch="9.0", jobs=4, gpus=None)
    assert (settings.arch, settings.origin("arch"), settings.jobs) == ("9.0", "--arch", 4)
    assert load(workspace, environ, base_image="x").origin("base_image") == "--base-image"


def test_numbers_may_be_written_as_numbers(places: tuple[Path, Path]) -> None:
    _, workspace = places
    (workspace / "devbox.toml").write_text("jobs = 8\narch = 90\n")
    settings = load(workspace)
    assert (settings.jobs, settings.arch) == (8, "90")


def test_paths_in_a_file_are_relative_to_the_file(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, workspace = places
    (workspace / "devbox.toml").write_text('find_links = "wheels"\nca_bundle = "/etc/ca.pem"\n')
    settings = load(workspace)
    assert settings.find_links == workspace / "wheels"
    assert settings.ca_bundle == Path("/etc/ca.pem")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert load(workspace, find_links="here").find_links == tmp_path / "here"
    assert load(workspace, {"DEVBOX_FIND_LINKS": "~/wheels"}).find_links == Path("/home/me/wheels")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('framwork = "vllm"', "there is no key 'framwork'", "did you mean 'framework'?"),
        ("zzz = 1", "there is no key 'zzz'", "the keys are: arch, args, base_image"),
        ("gpus = true", "'gpus' must be a string, not the boolean true", None),
        ("arch = 9.0", "'arch' must be a string, not the number 9.0", None),
        ("arch = ['9.0']", "'arch' must be a string, not a list", None),
        ("[env]\nA = '1'", "'env' must be a list of strings, not a table", None),
        ("ports = [true]", "'ports' must be a list of strings, not a list", None),
        ("arch = ", "is not valid TOML", None),
        ("origins = 'x'", "there is no key 'origins'", None),
    ],
)
def test_mistakes_name_file_and_key(places: tuple[Path, Path], text: str, message: str, hint: str | None) -> None:
    _, workspace = places
    path = workspace / "devbox.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(workspace)
    assert str(path) in caught.value.message
    assert message in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")


def test_a_file_that_is_not_text(places: tuple[Path, Path]) -> None:
    _, workspace = places
    (workspace / "devbox.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load(workspace)


@pytest.mark.parametrize(("key", "value"), [("jobs", "many"), ("jobs", "0"), ("jobs", "-1"), ("ccache_size", "big")])
def test_values_that_make_no_sense(places: tuple[Path, Path], key: str, value: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(None, {f"DEVBOX_{key.upper()}": value})
    assert caught.value.message.startswith(f"DEVBOX_{key.upper()}: '{value}'")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("gpus", "most", "'most' is no choice of GPUs"),
        ("arch", "9", "'9' is no GPU architecture"),
        ("user", "ada", "'ada' is no user"),
        ("user", "1:2:Ada", "'Ada' is no name for the user 1"),
        ("mounts", "/data", "'/data' is no mount"),
        ("ports", "http", "'http' is no port"),
        ("env", "A B", "'A B' is no name of a variable"),
        ("services", "radis", "there is no service called 'radis'"),
        ("ssh_agent", "yes", "'yes' is neither true nor false"),
        ("compiler_cache", "", "'' is no compiler cache"),
    ],
)
def test_a_wrong_value_is_an_error_in_every_place(places: tuple[Path, Path], key: str, value: str, said: str) -> None:
    user, _ = places
    variable, flag, path = config.TABLE[key].variable, config.TABLE[key].flag, user / "config.toml"
    # An empty variable is none.
    calls: list[tuple[str, dict[str, str], dict[str, str]]] = [(variable, {variable: value}, {})] if value else []
    for origin, environ, flags in (*calls, (flag, {}, {key: value}), (str(path), {}, {})):
        if origin == str(path):
            path.write_text(f"{key} = {value!r}\n")
        with pytest.raises(UsageError) as caught:
            load(None, environ, **flags)
        assert caught.value.message == f"{origin}: {said}"
        assert caught.value.hint


def test_none_says_nothing_and_is_said(places: tuple[Path, Path]) -> None:
    user, _ = places
    (user / "config.toml").write_text('find_links = "/wheels"\nmounts = ["/a:/a"]\ncache_remote = "redis://a"\n')
    settings = load(None, {"DEVBOX_FIND_LINKS": "none"}, mounts=("none",), cache_remote="none")
    assert (settings.find_links, settings.mounts, settings.cache_remote) == (None, (), None)
    assert [settings.text(key) for key in ("find_links", "mounts", "cache_remote", "ports")] == ["none"] * 3 + [None]


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("mounts", ["/a:/a", "type=bind,source=/b,target=/b"]),
        ("ports", [8000, "9000:80"]),
        ("services", []),
        ("repositories", ["/a", "/b c"]),
        ("ssh_agent", False),
        ("jobs", 3),
        ("find_links", "/wheels"),
        ("ca_bundle", "none"),
        ("gpus", "none"),
    ],
)
def test_a_text_of_a_value_is_read_as_this_value(key: str, given: object) -> None:
    """So a contract that was written by it, now or by an earlier version, is read."""
    value = config.read(key, given, "here")
    assert config.read(key, config.TABLE[key].kind.write(value), "here") == value


def test_a_choice_of_gpus_has_one_spelling(places: tuple[Path, Path]) -> None:
    assert [load(None, gpus=text).gpus for text in ("None", " all", "0 1,1")] == ["none", "all", "0,1"]


def test_a_flag_that_is_no_setting(places: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match="'archs'"):
        load(None, archs="9.0")


SECRET = "http://me:s3cret@proxy:3128"


def test_a_proxys_password_is_never_shown(places: tuple[Path, Path]) -> None:
    settings = load(None, {"DEVBOX_HTTPS_PROXY": SECRET})
    network = network_of(settings, {})
    assert network.https_proxy == SECRET
    assert network.secret
    for text in (repr(settings), repr(network), f"{network}", str(dict(settings.items()))):
        assert "s3cret" not in text
        assert "***@proxy:3128" in text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://proxy:3128", "http://proxy:3128"),
        ("http://me:pw@proxy:3128/", "http://***@proxy:3128/"),
        ("me:pw@proxy:3128", "***@proxy:3128"),
        ("http://me:p@ss/w@proxy:3128", "http://***@proxy:3128"),
        ("socks5h://[::1]:1080", "socks5h://[::1]:1080"),
        ("", ""),
    ],
)
def test_masked(url: str, shown: str) -> None:
    assert masking.masked(url) == shown
    assert masking.has_password(url) == (url != shown)


@given(st.from_regex(r"[A-Za-z0-9]{1,8}:[^@\s]{12,30}", fullmatch=True), st.sampled_from(["http://", "https://", ""]))
def test_no_password_survives_the_mask(login: str, scheme: str) -> None:
    assert login not in masking.masked(f"{scheme}{login}@host:1")


def test_proxies_come_from_the_settings_and_else_from_the_usual_variables(places: tuple[Path, Path]) -> None:
    environ = {
        "http_proxy": "http://a:1",
        "HTTP_PROXY": "http://b:1",
        "HTTPS_PROXY": "http://c:1",
        "no_proxy": "localhost",
    }
    network = network_of(load(None), environ)
    assert (network.http_proxy, network.https_proxy, network.no_proxy) == ("http://a:1", "http://c:1", "localhost")
    assert not network.secret
    assert network.proxies() == {
        "http_proxy": "http://a:1",
        "HTTP_PROXY": "http://a:1",
        "https_proxy": "http://c:1",
        "HTTPS_PROXY": "http://c:1",
        "no_proxy": "localhost",
        "NO_PROXY": "localhost",
    }
    assert network_of(load(None, http_proxy="http://d:1"), environ).http_proxy == "http://d:1"
    assert network_of(load(None, http_proxy="none"), environ).http_proxy is None
    assert network_of(load(None), {}).proxies() == {}


def test_the_bundle_of_the_settings_must_be_there(places: tuple[Path, Path]) -> None:
    _, workspace = places
    with pytest.raises(ConfigError, match="is not there") as caught:
        network_of(load(workspace, ca_bundle="/missing.pem"), {})
    assert caught.value.message.startswith("--ca-bundle")
    (workspace / "ca.pem").write_text("x")
    (workspace / "devbox.toml").write_text('ca_bundle = "ca.pem"')
    assert network_of(load(workspace), {}).ca_bundle == workspace / "ca.pem"


def test_the_bundle_of_the_usual_variables_is_taken_where_it_is_a_file(places: tuple[Path, Path]) -> None:
    _, workspace = places
    (workspace / "ca.pem").write_text("x")
    environ = {
        "SSL_CERT_FILE": "/missing.pem",
        "REQUESTS_CA_BUNDLE": str(workspace),
        "PIP_CERT": str(workspace / "ca.pem"),
    }
    assert network_of(load(None), environ).ca_bundle == workspace / "ca.pem"
    assert network_of(load(None, ca_bundle="none"), environ).ca_bundle is None


def test_the_systems_own_bundle_is_taken_where_authorities_were_added_to_it_and_nobody_names_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added, bundle = (
        tmp_path / "usr/local/share/ca-certificates/site.crt",
        tmp_path / "etc/ssl/certs/ca-certificates.crt",
    )
    monkeypatch.setattr("devbox.config.network.additions", lambda: certificates.additions(tmp_path))
    for file in (bundle, added):
        assert network_of(load(None), {"SSL_CERT_FILE": ""}).ca_bundle is None
        file.parent.mkdir(parents=True)
        file.write_text("x")
    found = network_of(load(None), {})
    assert (found.ca_bundle, found.added) == (bundle, added)
    (said,) = found.note()
    assert all(word in said for word in (str(added), str(bundle), "ca_bundle"))
    named = network_of(load(None), {"SSL_CERT_FILE": str(added)})
    assert (named.ca_bundle, named.note()) == (added, ())
    assert network_of(load(None, ca_bundle="none"), {}).ca_bundle is None


class TestWorkspaceTables:
    """The user's file has a table for a workspace: stronger than what lies in the checkout, weaker than a flag."""

    def test_the_last_table_that_means_the_workspace_counts(self, places: tuple[Path, Path]) -> None:
        user, workspace = places
        (workspace / "devbox.local.toml").write_text('arch = "12.0"\ngpus = "all"\n')
        (user / "config.toml").write_text(
            f'arch = "11.0"\njobs = 3\n[workspace."{workspace.parent}/*"]\narch = "13.0"\nmounts = ["data:/data"]\n'
            f'[workspace."{workspace}"]\narch = "14.0"\n[workspace."/elsewhere"]\narch = "15.0"\n'
        )
        found = load(workspace)
        assert (found.arch, found.origin("arch")) == ("14.0", f'{user / "config.toml"} [workspace."{workspace}"]')
        assert (found.jobs, found.gpus, found.mounts) == (3, "all", ("data:/data",))
        assert load(workspace, arch="9.0").arch == "9.0"
        assert load(None).arch == "11.0"
        assert config.load(workspace, environ={}, flags={}, personal=False).arch is None

    def test_a_path_may_begin_at_home_and_lead_through_a_link(
        self, places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user, workspace = places
        monkeypatch.setenv("HOME", str(workspace.parent))
        (user / "config.toml").write_text('[workspace."~/work*"]\njobs = 5\n')
        link = workspace.parent / "link"
        link.symlink_to(workspace)
        assert (load(workspace).jobs, load(link).jobs) == (5, 5)

    @pytest.mark.parametrize(
        "text",
        ["workspace = 3", '[workspace]\n"/x" = 3', '[workspace."/x"]\njobz = 3', '[workspace."/x"]\njobs = "many"'],
    )
    def test_a_mistake_in_one_is_an_error_whichever_workspace_it_means(
        self, text: str, places: tuple[Path, Path]
    ) -> None:
        user, workspace = places
        (user / "config.toml").write_text(text)
        with pytest.raises(UsageError, match=r"config\.toml"):
            load(workspace)

    def test_features_and_hooks_are_tables_in_it(self, places: tuple[Path, Path]) -> None:
        user, workspace = places
        (user / "config.toml").write_text(
            f'[workspace."{workspace}".features]\n"ghcr.io/a/b:1" = {{ version = "2" }}\n'
            f'[workspace."{workspace}".hooks]\npostCreateCommand = "make"\n'
        )
        found = load(workspace)
        assert found.features == (("ghcr.io/a/b:1", '{"version":"2"}'),)
        assert found.hooks == (("postCreateCommand", '"make"'),)

    def test_a_file_of_the_checkout_has_none(self, places: tuple[Path, Path]) -> None:
        _, workspace = places
        (workspace / "devbox.toml").write_text(f'[workspace."{workspace}"]\njobs = 3\n')
        with pytest.raises(ConfigError, match="no key 'workspace'"):
            load(workspace)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["a", "b:1"], (("a", "{}"), ("b:1", "{}"))),
        ("a,b", (("a", "{}"), ("b", "{}"))),
        ('{"a": {"version": "2"}, "b": true}', (("a", '{"version":"2"}'), ("b", "true"))),
        ({"a": "3"}, (("a", '"3"'),)),
        ("none", ()),
    ],
)
def test_features_are_names_or_a_table_with_options(given: object, wanted: object) -> None:
    found = config.read("features", given, "here")
    assert found == wanted
    assert config.read("features", TABLE["features"].kind.write(found), "here") == wanted


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("features", {"a": 3}),
        ("features", '{"a"'),
        ("features", '{"": {}}'),
        ("hooks", "make"),
        ("hooks", {"initializeCommand": "x"}),
        ("hooks", {"postCreateCommand": 3}),
        ("hooks", {"postCreateCommand": {"a": [1]}}),
    ],
)
def test_what_is_no_feature_and_no_hook(key: str, given: object) -> None:
    with pytest.raises(UsageError):
        config.read(key, given, "here")
