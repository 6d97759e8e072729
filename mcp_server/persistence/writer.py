"""A writer: a thread that runs transaction functions, many to a commit, and tells each caller only after the commit.

A batch is one BEGIN..COMMIT around many functions. That makes full durability affordable: the price of a flush is
shared. A function that refuses before it has written anything, as nearly all refusals do, leaves nothing to undo and
the batch goes on. One that raises after it wrote, or an engine that fails, spoils the batch: it is rolled back and its
functions run again one by one, so that only the culprit fails. (A savepoint per function would cost every success 7 %.)
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from mcp_server.kernel.errors import OpsError, Unavailable
from mcp_server.kernel.loops import Loops
from mcp_server.kernel.store import ReadAhead
from mcp_server.persistence.jobs import Job, Outcome, resolve
from mcp_server.persistence.transaction import Transaction

BATCH_COUNT_MAX = 256
BATCH_SECONDS_MAX = 0.02
"""How long a batch may gather work before it commits, so that other processes get their turn."""


class WriterSession(Protocol):
    """One engine connection that the writer drives."""

    reads_ahead: bool
    """Whether reading for all waiting functions at once is worth it."""

    def begin(self) -> Transaction:
        """Open a transaction, waiting a bounded time for its turn.

        Raises:
            OpsError: there can be none now, whatever it is for.
        """
        ...

    def commit(self) -> None:
        """Make the batch durable. It returns only if it is, and fails only if it is not.

        Raises:
            OutcomeUnknown: nobody knows.
        """
        ...

    def rollback(self) -> None:
        """Undo the batch; never raises."""
        ...

    def is_engine_error(self, error: BaseException) -> bool:
        """Whether the database, not the transaction function, failed."""
        ...

    def retry_delay(self, error: BaseException, attempt: int) -> float | None:
        """Seconds to wait before running a failed function again, or None to give up."""
        ...

    def explain(self, error: BaseException) -> OpsError:
        """The engine's failure as a refusal that names the database and the remedy."""
        ...

    def after_commit(self) -> None:
        """Hint to other processes that something was written."""
        ...

    def idle(self) -> float | None:
        """Called when there is no work; returns seconds until it wants to be called again, or None."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class OutcomeUnknown(Unavailable):
    """The commit was asked for, its answer was lost, and it cannot be found out in time whether it came to be."""

    def __init__(self, database: str) -> None:
        super().__init__(
            f"The database {database} was lost while it saved this, and does not say whether it has.",
            next="Look before you repeat it: read what this call was to change, or repeat it where it has an "
            "idempotency key, which counts once.",
            details={"outcome": "unknown"},
        )


class Writer:
    """A queue of jobs and the thread that drains it."""

    def __init__(
        self,
        open_session: Callable[[], WriterSession],
        on_commit: Callable[[int, set[str]], None],
        read_ahead: Mapping[Callable[..., Any], ReadAhead],
        loops: Loops,
    ) -> None:
        """Start the thread.

        Args:
            open_session: connects to the engine; called in the writer's thread.
            on_commit: told after a commit how many events it appended and whom it wakes; called in the writer's thread.
            read_ahead: for functions whose reads can be done for many calls at once, what does it.
            loops: keeps the thread at work.
        """
        self._open_session = open_session
        self._on_commit = on_commit
        self._reads = read_ahead
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._closed = threading.Lock()
        self._is_closed = False
        # Never stopped from outside: what is queued when the store closes is run, even after a failure.
        work = ("store-writer", self._work, threading.Event())
        self._pending: deque[Job] = deque()
        self._thread = threading.Thread(target=loops.keep_in_thread, args=work, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job.

        Raises:
            Unavailable: the store is closed.
        """
        with self._closed:
            if self._is_closed:
                raise Unavailable("The store is closed: this server is shutting down.", next="Call another server.")
            self._queue.put(job)

    def close(self) -> None:
        """Run everything that is queued, then stop. Blocks; idempotent."""
        with self._closed:
            if not self._is_closed:
                self._is_closed = True
                self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        session: WriterSession | None = None
        pending = self._pending
        try:
            while True:
                if not pending:
                    job = self._next(session)
                    if job is None:
                        self._queue.put(None)  # the end, to be found again should closing the session fail
                        return
                    pending.append(job)
                session = session or self._connected(pending)
                if session is not None:
                    self._run_batch(session, pending)
        finally:
            if session is not None:
                session.close()

    def _next(self, session: WriterSession | None) -> Job | None:
        while True:
            try:
                return self._queue.get(timeout=None if session is None else session.idle())
            except Empty:
                continue

    def _connected(self, pending: deque[Job]) -> WriterSession | None:
        try:
            return self._open_session()
        except Exception as error:  # a bug, too, is for the callers: they wait for an answer
            resolve([(job, None, error) for job in pending])
            pending.clear()
            return None

    def _run_batch(self, session: WriterSession, pending: deque[Job]) -> None:
        tx = self._begun(session, pending)
        if tx is None:
            return
        outcomes: list[Outcome] = []
        try:
            if session.reads_ahead:
                self._read_ahead(session, tx, pending)
            started = time.monotonic()
            while len(outcomes) < BATCH_COUNT_MAX and (job := self._take(pending)) is not None:
                if job.start():
                    outcomes.append(self._run_one(session, tx, job))
                if time.monotonic() - started > BATCH_SECONDS_MAX:
                    break
            session.commit()
        except BaseException as error:
            jobs = [job for job, _, _ in outcomes] or self._culprits(pending)
            self._again(session, jobs, error)
            return
        self._committed(session, tx, outcomes)

    def _begun(self, session: WriterSession, pending: deque[Job]) -> Transaction | None:
        """A transaction; where there can be none, all that wait are told why. One after the other, each would wait for
        its turn anew."""
        try:
            return session.begin()
        except OpsError as refused:
            session.rollback()
            self._gather(pending)
            resolve([(job, None, refused) for job in self._culprits(pending)])
        except BaseException as error:
            self._again(session, self._culprits(pending), error)
        return None

    def _gather(self, pending: deque[Job]) -> None:
        while len(pending) < BATCH_COUNT_MAX and (job := self._take(deque())) is not None:
            pending.append(job)

    def _read_ahead(self, session: WriterSession, tx: Transaction, pending: deque[Job]) -> None:
        """Let each kind of function that is waiting read once for all its calls."""
        self._gather(pending)
        calls: dict[ReadAhead, list[tuple[Any, ...]]] = {}
        for job in pending:
            read = self._reads.get(job.function)
            if read is not None:
                calls.setdefault(read, []).append(job.arguments)
        for read, arguments in calls.items():
            read(tx, arguments)

    def _take(self, pending: deque[Job]) -> Job | None:
        if pending:
            return pending.popleft()
        try:
            job = self._queue.get_nowait()
        except Empty:
            return None
        if job is None:
            self._queue.put(None)  # the end, for the outer loop to find again
        return job

    @staticmethod
    def _culprits(pending: deque[Job]) -> list[Job]:
        """The jobs of a batch that could not even begin."""
        jobs = [job for job in pending if job.start()]
        pending.clear()
        return jobs

    @staticmethod
    def _run_one(session: WriterSession, tx: Transaction, job: Job) -> Outcome:
        writes = tx.writes
        try:
            return job, job.function(tx, *job.arguments), None
        except Exception as error:
            if tx.writes != writes or session.is_engine_error(error):
                raise _Culprit(job) from error
            return job, None, error

    def _again(self, session: WriterSession, jobs: Sequence[Job], error: BaseException) -> None:
        """Undo a spoilt batch and run its jobs one by one. Should even that fail, their callers are told."""
        try:
            session.rollback()
            outcomes = self._one_by_one(session, jobs, error)
        except Exception as worse:
            left = [*jobs, error.job] if isinstance(error, _Culprit) else jobs
            resolve([(job, None, worse) for job in left])
            raise
        resolve(outcomes)

    def _one_by_one(self, session: WriterSession, jobs: Sequence[Job], error: BaseException) -> list[Outcome]:
        if isinstance(error, _Culprit):
            jobs = [*jobs, error.job]
            error = error.__cause__ or error
        if isinstance(error, OutcomeUnknown):  # run again, it might be there twice
            return [(job, None, error) for job in jobs]
        outcomes: list[Outcome] = []
        for place, job in enumerate(jobs):
            try:
                outcomes.append(self._run_alone(session, job, error if len(jobs) == 1 else None))
            except _NoTransaction as refused:  # nor would the others get one, each after its own wait
                session.rollback()
                return [*outcomes, *((left, None, refused.refusal) for left in jobs[place:])]
        return outcomes

    def _run_alone(self, session: WriterSession, job: Job, error: BaseException | None) -> Outcome:
        """Run one job in a transaction of its own, again while the engine's failure may pass."""
        attempt = 0
        while True:
            if error is not None:
                delay = session.retry_delay(error, attempt) if session.is_engine_error(error) else None
                if delay is None:
                    return job, None, session.explain(error) if session.is_engine_error(error) else error
                time.sleep(delay)
                attempt += 1
            try:
                tx = self._begin_alone(session)
                result = job.function(tx, *job.arguments)
                session.commit()
            except _NoTransaction:
                raise
            except Exception as again:
                session.rollback()
                error = again
                continue
            self._after(session, tx)
            return job, result, None

    @staticmethod
    def _begin_alone(session: WriterSession) -> Transaction:
        try:
            return session.begin()
        except OpsError as refused:
            raise _NoTransaction(refused) from None

    def _committed(self, session: WriterSession, tx: Transaction, outcomes: list[Outcome]) -> None:
        resolve(outcomes)
        self._after(session, tx)

    def _after(self, session: WriterSession, tx: Transaction) -> None:
        """Hints after a commit. Whatever goes wrong here, the writer must live: everyone waits for it."""
        if not tx.writes:
            return
        try:
            session.after_commit()
            self._on_commit(tx.events_appended, tx.woken)
        except Exception:
            logging.getLogger("datamcp.store").exception("a hint after a commit failed")


class _Culprit(Exception):
    """The job that spoils its batch: it raised after writing, or the engine failed in its midst."""

    def __init__(self, job: Job) -> None:
        self.job = job
        super().__init__("a job failed")


class _NoTransaction(Exception):
    """There can be none now, whatever it is for."""

    def __init__(self, refusal: OpsError) -> None:
        self.refusal = refusal
        super().__init__("no transaction")
