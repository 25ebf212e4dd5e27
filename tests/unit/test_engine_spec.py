"""What is asked of Docker becomes the argv that Docker understands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.engine.spec import ContainerSpec, ImageBuild, Mount, build_args, container_args
from devbox.errors import ContractError

# Control characters are refused: programs cut, end and show texts at them, each in its own way.
paths = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1).map(lambda text: f"/{text}")


@given(source=paths, target=paths, readonly=st.booleans())
def test_mount_survives_its_csv_form(source: str, target: str, readonly: bool) -> None:
    mount = Mount("bind", target, source, readonly)
    assert Mount.parse(mount.csv()) == mount


def test_mount_quotes_the_field_with_a_comma_alone() -> None:
    assert Mount("bind", "/w", "/home/a,b").csv() == 'type=bind,"source=/home/a,b",target=/w'


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("source=v,target=/x", Mount("volume", "/x", "v")),
        ("type=bind,src=/a,dst=/b,ro", Mount("bind", "/b", "/a", readonly=True)),
        ("type=bind,source=/a,destination=/b,readonly=false", Mount("bind", "/b", "/a")),
        ("type=tmpfs,target=/t,tmpfs-size=1g", Mount("tmpfs", "/t", options=(("tmpfs-size", "1g"),))),
        (
            "type=bind,source=/a,target=/b,bind-propagation=rslave",
            Mount("bind", "/b", "/a", options=(("bind-propagation", "rslave"),)),
        ),
    ],
)
def test_mount_reads_every_spelling(text: str, mount: Mount) -> None:
    assert Mount.parse(text) == mount


@pytest.mark.parametrize("text", ["", "source=/a", "type=npipe,source=a,target=/b", "target="])
def test_mount_without_target_or_with_unknown_type_is_refused(text: str) -> None:
    with pytest.raises(ContractError, match="has no target"):
        Mount.parse(text)


def test_container_args_follow_the_order_of_the_reference() -> None:
    spec = ContainerSpec(
        image="img",
        command=("-c", "sleep 1"),
        entrypoint="/bin/sh",
        name="n",
        publish=("127.0.0.1:8000:8000",),
        mounts=("type=volume,source=v,target=/build",),
        labels=(("l", "1"),),
        env=(("A", "b c"),),
        user="dev",
        run_args=("--ipc=host", "--gpus=all"),
        init=True,
        privileged=True,
        cap_add=("SYS_PTRACE",),
        security_opt=("seccomp=unconfined",),
    )
    assert container_args(spec) == [
        "-p", "127.0.0.1:8000:8000", "--mount", "type=volume,source=v,target=/build",
        "--label", "l=1", "--env", "A=b c",
        "--user", "dev", "--name", "n", "--ipc=host", "--gpus=all", "--init", "--privileged", "--cap-add", "SYS_PTRACE",
        "--security-opt", "seccomp=unconfined", "--entrypoint", "/bin/sh", "img", "-c", "sleep 1",
    ]  # fmt: skip


def test_no_cache_drops_cache_from_as_the_reference_does() -> None:
    build = ImageBuild("Dockerfile", ".", tags=("t",), cache_from=("r",), no_cache=True, secrets=(("ca", "/a,b"),))
    args = build_args(build)
    assert "--cache-from" not in args
    assert args[args.index("--secret") + 1] == 'id=ca,"src=/a,b"'
    assert args[-1] == "."


@pytest.mark.parametrize("text", ['type=bind,source="x', '"type=bind', "a\nb"])
def test_a_mount_that_is_no_csv_is_named(text: str) -> None:
    with pytest.raises(ContractError, match="the mount"):
        Mount.parse(text)


@pytest.mark.parametrize(
    ("name", "run_args", "called"),
    [("a", (), "a"), (None, ("--name=b",), "b"), (None, ("--init", "--name", "c"), "c"), (None, ("--init",), "image")],
)
def test_what_a_container_is_called(name: str | None, run_args: tuple[str, ...], called: str) -> None:
    assert ContainerSpec("image", name=name, run_args=run_args).called == called


words = st.text(st.characters(blacklist_characters="\x00", blacklist_categories=["Cs"]), max_size=12)
pairs = st.lists(st.tuples(words.filter(lambda name: name and "=" not in name), words), max_size=3)


@given(
    st.builds(
        ContainerSpec,
        image=st.just("image:1"),
        command=st.lists(words, max_size=3).map(tuple),
        entrypoint=st.none() | words,
        publish=st.lists(words, max_size=2).map(tuple),
        mounts=st.lists(words, max_size=2).map(tuple),
        labels=pairs.map(tuple),
        env=pairs.map(tuple),
        user=st.none() | words.filter(bool),
        name=st.none() | words.filter(bool),
        init=st.booleans(),
        privileged=st.booleans(),
        cap_add=st.lists(words, max_size=2).map(tuple),
        security_opt=st.lists(words, max_size=2).map(tuple),
    )
)
def test_whatever_the_values_are_docker_reads_them_back(spec: ContainerSpec) -> None:
    """No value is taken for an option: each stands as a word of its own after the option that it belongs to."""
    given_, found = container_args(spec), dict[str, list[str]]()
    switches = {"--init", "--privileged"}
    while given_ and given_[0].startswith("-"):
        option = given_.pop(0)
        found.setdefault(option, []).append("" if option in switches else given_.pop(0))
    assert given_ == ["image:1", *spec.command]
    joined = {"--label": spec.labels, "--env": spec.env}
    for option, values in joined.items():
        assert found.get(option, []) == [f"{key}={value}" for key, value in values]
    for option, plain in {"-p": spec.publish, "--mount": spec.mounts, "--cap-add": spec.cap_add}.items():
        assert tuple(found.get(option, [])) == plain
    for option, one in {"--user": spec.user, "--name": spec.name, "--entrypoint": spec.entrypoint}.items():
        assert found.get(option, [None])[-1] == one
    assert ("--init" in found, "--privileged" in found) == (spec.init, spec.privileged)
