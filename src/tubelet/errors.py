"""Every error that Tubelet raises on purpose.

TubeletError
├── ConfigError    settings that make no sense together (also a ValueError)
├── DecodeError    a video that cannot be read: names file, frame and cause
│   └── TooShortError  a video too short for a view that refuses such (also a ConfigError)
├── WeightsError   a weights file that cannot be read or does not fit: lists every tensor concerned
└── DataError      a dataset that is not what it says: names the file and the row
"""


class TubeletError(Exception):
    """The root: catch this to catch everything that Tubelet raises on purpose."""


class ConfigError(TubeletError, ValueError):
    """Settings that make no sense, alone or together. Says what was given, what is allowed, what to do."""


class DecodeError(TubeletError):
    """A video that cannot be read. Names the file, the frame (where one is known) and the cause."""


class TooShortError(DecodeError, ConfigError):
    """A video that is too short for a view with `short="refuse"`. Among others it counts as one not to be read."""


class WeightsError(TubeletError):
    """A weights file that cannot be read, or does not fit its model. Lists everything that does not fit."""


class DataError(TubeletError):
    """A dataset that is not what it says. Names the file and, for a table, the row."""
