"""Under which names images are pushed, manifests for several platforms, and docker's refusals in plain words."""

from __future__ import annotations

import pytest

from devbox.errors import ImageError, UsageError
from devbox.image.registry import manifest
from devbox.image.registry.remote import Platform, RemoteImage
from devbox.image.registry.transfer import plan, refused, rewrite

STAGING = rewrite("/tensorrt-llm:=/tensorrt-llm-staging:")


def commands(*images: str, to: str | None = None, rules: tuple[str, ...] = ()) -> list[str]:
    made = plan(images, [rewrite(text) for text in rules], to=to)
    return [" ".join(command) for one in made for command in one.commands()]


def test_an_image_is_pushed_under_its_own_name() -> None:
    assert commands("r.org/a:1", "you/b:2") == ["push r.org/a:1", "push you/b:2"]


def test_the_staging_name() -> None:
    image = "urm.example.com/sw/tensorrt-llm:main-x86_64"
    staged = "urm.example.com/sw/tensorrt-llm-staging:main-x86_64"
    assert commands(image, rules=("/tensorrt-llm:=/tensorrt-llm-staging:",)) == [
        f"tag {image} {staged}",
        f"push {staged}",
    ]


def test_rules_are_applied_in_order_to_the_name_it_goes_by() -> None:
    assert commands("devbox-vllm:cpu-devel", to="r.org/vllm", rules=("r.org=s.org", "s.org/=s.org/me/")) == [
        "tag devbox-vllm:cpu-devel s.org/me/vllm:cpu-devel",
        "push s.org/me/vllm:cpu-devel",
    ]
    assert commands("devbox-vllm:x", to="r.org/vllm:y")[-1] == "push r.org/vllm:y"


def test_a_rule_without_effect_is_refused() -> None:
    with pytest.raises(UsageError, match=r"changes none of the names: r\.org/a:1"):
        plan(("r.org/a:1",), [STAGING])
    # One of two would go to where it was not meant to.
    with pytest.raises(UsageError, match=r"no replacement changes r\.org/b:1"):
        plan(("r.org/a:1", "r.org/b:1"), [rewrite("/a:=/a-staging:")])


@pytest.mark.parametrize("name", ["devbox-vllm:early", "ubuntu", "docker.io/library/x:1"])
def test_a_name_without_a_registry_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="Docker Hub's own images") as caught:
        plan((name,), ())
    assert caught.value.hint is not None
    assert "--to" in caught.value.hint


def test_what_makes_no_sense() -> None:
    for text in ("x", "=y", ""):
        with pytest.raises(UsageError, match="is no replacement"):
            rewrite(text)
    with pytest.raises(UsageError, match="cannot all be pushed"):
        plan(("r.org/a:1", "r.org/b:1"), (), to="r.org/c")
    with pytest.raises(UsageError, match="by its digest"):
        plan((f"r.org/a@sha256:{'0' * 64}",), ())
    with pytest.raises(UsageError, match="is no name of an image"):
        plan(("r.org/A:1",), ())


@pytest.mark.parametrize(
    ("verb", "stderr", "hint"),
    [
        ("push", "a: Preparing\nno basic auth credentials\n", "docker login r.org"),
        ("push", "denied: requested access to the resource is denied", "docker login r.org"),
        (
            "pull",
            "Error response from daemon: manifest for r.org/a:1 not found: manifest unknown",
            "devbox image tags r.org/a",
        ),
        (
            "pull",
            "no matching manifest for linux/arm64 in the manifest list entries",
            "devbox image manifest show r.org/a:1",
        ),
        ("push", "", None),
    ],
)
def test_refusals_say_what_to_type(verb: str, stderr: str, hint: str | None) -> None:
    error = refused(verb, "r.org/a:1", stderr)
    assert (error.hint or "").startswith(hint or "")
    assert (error.hint is None) == (hint is None)
    assert error.message.startswith(f"docker could not {verb} r.org/a:1: ")
    assert "Error response" not in error.message


# Manifests


def test_the_members_of_an_index() -> None:
    assert manifest.members("r.org/a:1", (), ("amd64", "arm64")) == ("r.org/a:1-amd64", "r.org/a:1-arm64")
    assert manifest.members("r.org/a", ("r.org/x:1",), ()) == ("r.org/x:1",)
    with pytest.raises(UsageError, match="an index gets its own"):
        manifest.members(f"r.org/a@sha256:{'0' * 64}", (), ("amd64",))
    assert manifest.create_args("r.org/a:1", ("r.org/a:1-amd64",)) == [
        "buildx", "imagetools", "create", "--tag", "r.org/a:1", "r.org/a:1-amd64",
    ]  # fmt: skip


def test_one_platform_twice_is_refused() -> None:
    arm, amd = (
        RemoteImage(f"r.org/a:{name}", "sha256:1", (Platform(f"linux/{name}", "sha256:2"),))
        for name in ("arm64", "amd64")
    )
    manifest.check([arm, amd])
    with pytest.raises(ImageError, match=r"r\.org/a:amd64 and r\.org/a:both are both for linux/amd64"):
        manifest.check([arm, amd, RemoteImage("r.org/a:both", "sha256:1", amd.platforms)])


def test_the_platform_of_an_image() -> None:
    image = RemoteImage("a", "sha256:1", (Platform("linux/arm/v6", "6"), Platform("linux/arm/v7", "7")))
    assert image.platform("linux/arm/v7") == image.platforms[1]
    assert image.platform("linux/arm") == image.platforms[0]
    assert image.platform("linux/amd64") is None
