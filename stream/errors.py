"""Errors of the stream package; :mod:`stream.wire.errors` has their base and the errors of the event contract."""

from stream.wire.errors import StreamError

#: Type checkers let other modules import an imported name only if it is listed; the classes below need no entry.
__all__ = ["StreamError"]


class LedgerError(StreamError):
    """Base of the ledger's errors."""


class LedgerAbsent(LedgerError):
    """The folder contains no ledger."""


class LedgerBusy(LedgerError):
    """Another process has the ledger's lock, or a file of the ledger is locked."""


class LedgerDamaged(LedgerError):
    """A file of the ledger is damaged."""


class GateError(StreamError):
    """The gate cannot run: a file is missing or invalid."""


class BrokerError(StreamError):
    """No broker answers, the broker rejects a request, or the local broker cannot be installed or started."""


class CertificatesUnreadable(StreamError):
    """SSL_CERT_FILE names no file with certificates."""


class TopicMissing(StreamError):
    """A topic does not exist."""


class TopicMismatch(StreamError):
    """A topic exists with another partition count than Weir needs."""


class LogExpired(StreamError):
    """Records to be read were deleted, by retention or with their topic."""


class ReaderStalled(StreamError):
    """The log contains more records but none arrives; a new consumer resolves this."""


class StateUnreadable(StreamError):
    """A state value in a table was written by an unknown version or is damaged."""


class HomeFailed(StreamError):
    """A file in the stack's home cannot be read or written, for example because the disk is full."""


class ModelsLost(StreamError):
    """The model processes ended, and new processes cannot load their models."""


class ReplayError(StreamError):
    """A replay cannot run as requested, because of its detector, its range, or expired records."""


class ArchiveFailed(StreamError):
    """The archive cannot be read or written."""


class DatasetRefused(StreamError):
    """The log does not contain enough for a dataset: rows, API keys or the request itself."""


class DatasetDamaged(StreamError):
    """The files of a dataset are missing, or do not fit their digest."""


class LineageRefused(StreamError):
    """An OpenLineage endpoint does not answer, or does not accept an event."""


def no_kafka(bootstrap_servers: str, error: BaseException) -> BrokerError:
    """Return the error for a Kafka broker that does not answer, or that rejects a request with ``error``."""
    if _is_unreachable(error):
        return BrokerError(
            f"no Kafka answers at {bootstrap_servers}; `weir status` shows whether the stack and its broker run. "
            "If not, start the stack with `weir up`, or start your own Kafka, or set WEIR_KAFKA__BOOTSTRAP_SERVERS to a broker that runs. If the broker runs: [kafka] security_protocol must be that of this port "
            "(the default is PLAINTEXT); with TLS or SASL, also check "
            "ssl_cafile, sasl_username and sasl_password"
        )
    return BrokerError(kafka_problem(bootstrap_servers, error))


def kafka_problem(bootstrap_servers: str, error: BaseException) -> str:
    """Return that a Kafka broker does not answer, or that it rejects a request and the fix; a `StreamError` explains itself."""
    if isinstance(error, StreamError):
        return str(error)
    if _is_unreachable(error):
        return f"Kafka at {bootstrap_servers} does not answer ({type(error).__name__})"
    return (
        f"Kafka at {bootstrap_servers} rejected a request ({type(error).__name__}); if the reason is authorization, give the user "
        "the rights (ACLs) of deploy/kafka/acls.txt"
    )


def _is_unreachable(error: BaseException) -> bool:
    # By attribute and name: aiokafka is imported only where a client is used.
    return (
        isinstance(error, OSError) or getattr(error, "retriable", False) or type(error).__name__ == "KafkaTimeoutError"
    )
