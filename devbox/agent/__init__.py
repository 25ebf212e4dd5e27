"""The program inside the container: it locks a build tree, heals times, runs cmake and ninja, and keeps the record.

It is delivered into the build volume as source and run by whatever python3 the container has, so it uses the standard
library alone, Python 3.8's syntax, and imports little: a build with nothing to do pays for each import. Its modules
import each other relatively, because inside the container the package is not called `devbox.agent`.
"""
