# SPDX-License-Identifier: GPL-2.0-only
"""Makes the kernel's own KTAP parser judge a stream.

Usage: ktap.py DIRECTORY <STREAM, where DIRECTORY is tools/testing/kunit of a kernel tree.

Prints JSON: "errors", what is wrong with the stream as a whole, and "tests", the
innermost tests in their order, each with "name" (after the names of the tests
around it, with slashes), "status" (a name of the parser's TestStatus), "reason"
(of a skip) and "log" (the lines before its result).
"""

import io
import json
import re
import sys

sys.path.insert(0, sys.argv[1])

import kunit_parser  # pylint: disable=wrong-import-position
from kunit_printer import Printer  # pylint: disable=wrong-import-position


def innermost(test, names):
    """The innermost tests below `test`."""
    for below in test.subtests:
        path = names + [below.name]
        if not below.name:
            # Stands for a missing test, which is an error of the stream.
            continue
        if below.subtests:
            yield from innermost(below, path)
        else:
            yield {
                'name': '/'.join(path),
                'status': below.status.name,
                'reason': below.skip_reason,
                'log': below.log,
            }


def counted(test):
    """Whether KUnit says at the end how often a test with parameters was run.

    KUnit prints no plan before these if the parameters are generated.
    """
    total = re.compile(rf'\s*# {re.escape(test.name)}: pass:.* total:([0-9]+)$')
    found = [match.group(1) for match in map(total.match, test.log) if match]
    return found == [str(len(test.subtests))]


def without_plan(test, name):
    """Reports tests without a plan, which the parser accepts."""
    if test.subtests and test.expected_count is None and not counted(test):
        yield f'{name}: no plan'
    for below in test.subtests:
        yield from without_plan(below, below.name)


def parse(stream):
    """Parses lines; returns what to print."""
    output = io.StringIO()
    lines = kunit_parser.extract_tap_lines(stream)
    if not lines:
        return {'errors': ['no KTAP'], 'tests': []}
    main = kunit_parser.parse_test(lines, 0, [], False, Printer(output=output))
    errors = list(dict.fromkeys(re.findall(r'\[ERROR\] (.*)', output.getvalue())))
    errors += without_plan(main, 'main')
    # The parser stops after it has as many tests as planned.
    more = [line for line in lines if re.match(r'(not )?ok [0-9]', line)]
    errors += [f'more tests than planned: {line}' for line in more]
    if main.counts.errors and not errors:
        errors.append(f'{main.counts.errors} errors')
    return {'errors': errors, 'tests': list(innermost(main, []))}


json.dump(parse(sys.stdin), sys.stdout)
