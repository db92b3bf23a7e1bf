"""lit's shell test with the test's own paths quoted, so that a checkout may lie in a folder whose name has spaces.

A module of its own, as lit hands the format to its workers by pickling, which needs an importable name.
"""
import os
import shlex

import lit.formats
import lit.TestRunner


class QuotedShTest(lit.formats.ShTest):
    def execute(self, test, lit_config):
        _, base = lit.TestRunner.getTempPaths(test)
        source = test.getSourcePath()
        paths = (("%s", source), ("%S", os.path.dirname(source)), ("%t", base + ".tmp"))
        quoted = [(name, shlex.quote(path)) for name, path in paths]
        return lit.TestRunner.executeShTest(test, lit_config, self.execute_external, extra_substitutions=quoted)
