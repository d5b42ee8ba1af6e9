"""The one tree of errors. Every error says what to do; the border translates each class to one gRPC status.

EventSpecError
├── InputError              the user's input is at fault (INVALID_ARGUMENT)
│   ├── EventFormatError    an event file can't be read, or its contents make no sense
│   ├── VideoFormatError    a video can't be read or decoded
│   ├── PromptError         a prompt is empty, malformed or over the limit
│   ├── PathError           a path that somebody named is no readable file, or may not be named
│   ├── SettingsError       a setting, flag or settings file makes no sense
│   └── MessageError        a peer's message is malformed or over a limit
├── ModelError              a model folder is missing, broken or of another kind (FAILED_PRECONDITION)
│   └── MismatchError       the two sides don't fit: wire version, tokenizer, vocabulary (FAILED_PRECONDITION)
├── CapacityError           no room now: sessions, memory, queue (RESOURCE_EXHAUSTED, retryable)
├── AccessError             the peer may not do this
│   ├── AuthenticationError no token or certificate that is known here (UNAUTHENTICATED)
│   └── AuthorizationError  known, but not allowed to do this (PERMISSION_DENIED)
├── SessionError            no such session, or it is in another state (NOT_FOUND)
├── LinkError               the peer can't be reached or was lost (UNAVAILABLE, retryable)
│   ├── DrainingError       the peer is going down, and takes nothing new (UNAVAILABLE, retryable)
│   ├── NotReadyError       the peer is starting, and takes nothing yet (UNAVAILABLE, retryable)
│   └── RevokedError        a running stream's token isn't valid any more (UNAVAILABLE, retryable with another)
└── EngineError             the engine failed or died (INTERNAL; a dead engine is retryable)
    └── EngineDeadError     the engine process is gone; sessions may resume (UNAVAILABLE, retryable)
"""


class EventSpecError(Exception):
    """Root of everything this project raises on purpose. `str(error)` is one line that a user can act on.

    `retry_after_ms` says when trying again may help; 0: no hint.
    """

    retryable = False
    retry_after_ms = 0


class InputError(EventSpecError):
    """What the user gave is at fault."""


class EventFormatError(InputError):
    """An event file is unreadable, truncated, hostile, or its contents make no sense."""


class VideoFormatError(InputError):
    """A video is unreadable, truncated, or can't be decoded."""


class PromptError(InputError):
    """A prompt is empty, malformed or over the limit."""


class PathError(InputError):
    """A path that somebody named is no readable file, or may not be named. Who catches it says which path."""


class SettingsError(InputError):
    """A setting, flag or settings file makes no sense."""


class MessageError(InputError):
    """A peer's message is malformed or over a limit."""


class ModelError(EventSpecError):
    """A model folder is missing, broken, or of another kind."""


class MismatchError(ModelError):
    """The two sides don't fit together: wire version, tokenizer or vocabulary."""


class CapacityError(EventSpecError):
    """No room now: sessions, memory or queue. Trying again later may work."""

    retryable = True
    retry_after_ms = 250

    def __init__(self, message: str = "", retry_after_ms: int = 0) -> None:
        super().__init__(message)
        if retry_after_ms > 0:
            self.retry_after_ms = retry_after_ms


class AccessError(EventSpecError):
    """The peer may not do this."""


class AuthenticationError(AccessError):
    """The peer showed no token or certificate that is known here."""


class AuthorizationError(AccessError):
    """The peer is known, but not allowed to do this."""


class SessionError(EventSpecError):
    """No such session, or it isn't in a state that allows this."""


class LinkError(EventSpecError):
    """The peer can't be reached, or was lost. Trying again may work."""

    retryable = True


class DrainingError(LinkError):
    """The peer is going down and takes nothing new. Another may; this one may come back."""

    retry_after_ms = 1_000


class NotReadyError(LinkError):
    """The peer is still loading its model. It will be there in a moment."""

    retry_after_ms = 250


class RevokedError(LinkError):
    """The token of a running stream isn't valid any more. With one that is, trying again works."""


class EngineError(EventSpecError):
    """The engine failed on this session."""


class EngineDeadError(EngineError):
    """The engine process is gone. It is being restarted; sessions may resume."""

    retryable = True
