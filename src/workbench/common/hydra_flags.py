"""Hydra's flags that take a value; imports nothing, so that a TAB may read it."""

FLAGS_WITH_VALUE = {
    "-c": "--cfg",
    "-p": "--package",
    "-cp": "--config-path",
    "-cn": "--config-name",
    "-cd": "--config-dir",
    "-i": "--info",
}
