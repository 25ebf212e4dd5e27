#!/bin/sh
# Stands in for docker where a tool runs `up`: writes down each command, and has images but no engine.
#
# `run` and `compose up` fail on purpose: by then everything that a tool would tell docker is known. A record is the
# number of its words and then the words, each ended by a NUL; a file that a command names follows it as a record of its
# own, with the words `::file`, path, text.
#
# RECORDER_LOG is where the records go, RECORDER_IMAGES a folder with the inspections of the images that there are,
# RECORDER_INFO a file with the answer to `docker info`.
set -u

record() {
    printf '%s\0' "$#" "$@" >> "$RECORDER_LOG"
}

# The name of an image as the name of a file.
file_of() {
    printf '%s/%s' "$RECORDER_IMAGES" "$(printf '%s' "$1" | tr '/:@' '___')"
}

record "$@"
case "${1-}" in
inspect)
    for word; do name=$word; done
    cat "$(file_of "$name")" 2> /dev/null && exit
    printf '[]\n'
    echo "Error: No such object: $name" >&2
    exit 1
    ;;
info)
    case "$*" in
    *Runtimes.nvidia*) grep -o nvidia-container-runtime "$RECORDER_INFO" || echo '<nil>' ;;
    *DockerRootDir*) echo / ;;
    *) cat "$RECORDER_INFO" ;;
    esac
    ;;
buildx | build)
    [ "${2-}" = version ] && echo "github.com/docker/buildx v0.14.1 0" && exit
    # What is built is like the image that everything here is built from.
    previous=
    for word; do
        case "$previous" in
        -t | --tag) cp "$(file_of built)" "$(file_of "$word")" ;;
        -f | --file) [ ! -f "$word" ] || record ::file "$word" "$(cat "$word")" ;;
        esac
        previous=$word
    done
    ;;
compose)
    previous=
    project=
    for word; do
        [ "$previous" != -f ] || record ::file "$word" "$(cat "$word")"
        [ "$previous" != --project-name ] || project=$word
        previous=$word
    done
    for word; do
        case "$word" in
        config | version) exec docker "$@" ;;
        build) cp "$(file_of built)" "$(file_of "$project-dev")" && exit ;;
        up | create | run) exit 1 ;;
        esac
    done
    ;;
run | create) exit 1 ;;
version | -v) echo 26.1.5 ;;
esac
