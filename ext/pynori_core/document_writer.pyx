"""Hand batches to the merger, wait for them without the GIL, or let an event loop resolve their futures."""

cimport cython
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.string cimport memset

from weakref import WeakKeyDictionary, ref

from pynori_core.errors import DiskFull

from pynori_core.bits cimport atomic_add32, atomic_load32, atomic_load64, atomic_load_pointer, compare_swap_pointer
from pynori_core.change_vector cimport VECTOR_TEXT_MAX, VectorEntry, vector_format
from pynori_core.command cimport Batch, ResultHeader, applied_results, command_exception, command_results
from pynori_core.completion cimport WriteStart, WriteWaiter
from pynori_core.errors cimport (
    E_BUSY,
    E_CLOSED,
    OK,
    ErrorDetail,
    error_clear,
    error_exception,
    error_set,
)
from pynori_core.items cimport STORE_FORKED, DocumentStore, store_enter_or_raise, store_leave
from pynori_core.merger cimport (
    ANSWER_APPLIED,
    ANSWER_LIST,
    ANSWER_SINGLE,
    MergerCounters,
    merger_close,
    merger_counters,
    merger_create,
    merger_destroy,
    merger_execute,
    merger_submit,
    user_create,
    user_destroy,
)
from pynori_core.output cimport output_init
from pynori_core.threads cimport sleep_us

cdef extern from *:
    """
    #include <fcntl.h>
    #include <poll.h>
    #include <stdint.h>
    #include <unistd.h>
    #ifdef __linux__
    #include <sys/eventfd.h>
    #endif

    /* A descriptor that is readable after it was written to: [0] is watched, [1] written to. */
    static int pyn_wake_open(int *watched, int *written) {
    #ifdef __linux__
        *watched = *written = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        return *watched < 0 ? -1 : 0;
    #else
        int ends[2];
        if (pipe(ends)) return -1;
        for (int i = 0; i < 2; i++) {
            fcntl(ends[i], F_SETFL, O_NONBLOCK);
            fcntl(ends[i], F_SETFD, FD_CLOEXEC);
        }
        *watched = ends[0];
        *written = ends[1];
        return 0;
    #endif
    }
    static void pyn_wake_close(int watched, int written) {
        close(watched);
        if (written != watched) close(written);
    }
    static void pyn_wake_clear(int watched) {
        char bytes[64];
    #ifdef __linux__
        if (read(watched, bytes, 8) < 0) return;
    #else
        while (read(watched, bytes, sizeof bytes) == sizeof bytes) {}
    #endif
    }
    static void pyn_wake_up(int written) {
        uint64_t one = 1;
        if (write(written, &one, sizeof one) < 0) return;  /* full: it is readable already */
    }
    static void pyn_wake_wait(int watched) {
        struct pollfd one = { watched, POLLIN, 0 };
        poll(&one, 1, -1);
    }
    """
    int wake_open "pyn_wake_open"(int* watched, int* written) noexcept nogil
    void wake_close "pyn_wake_close"(int watched, int written) noexcept nogil
    void wake_clear "pyn_wake_clear"(int watched) noexcept nogil
    void wake_up "pyn_wake_up"(int written) noexcept nogil
    void wake_wait "pyn_wake_wait"(int watched) noexcept nogil


cdef enum:
    CLOSE_LOOK_US = 50                 # how often a close looks for calls that are still leaving


cdef int sink_open(Sink* sink) except -1:
    sink.completed = NULL
    sink.pushers = 0
    if wake_open(&sink.watched_fd, &sink.wake_fd):
        sink.watched_fd = -1
        raise OSError("no descriptor for waking the event loop can be had")
    return 0


cdef void sink_close(Sink* sink) noexcept nogil:
    """All is fetched, but who pushed it last may be about to write to the descriptor."""
    while atomic_load64(&sink.pushers):
        sleep_us(CLOSE_LOOK_US)
    wake_close(sink.watched_fd, sink.wake_fd)


cdef UserTxn* sink_take(Sink* sink) noexcept nogil:
    """All that is completed, oldest first. Clears the descriptor first, so that what comes later wakes again."""
    cdef void* taken
    cdef UserTxn* user
    cdef UserTxn* next
    cdef UserTxn* oldest = NULL
    wake_clear(sink.watched_fd)
    while True:
        taken = atomic_load_pointer(&sink.completed)
        if taken == NULL or compare_swap_pointer(&sink.completed, taken, NULL):
            break
    user = <UserTxn*>taken
    while user != NULL:
        next = user.next
        user.next = oldest
        oldest = user
        user = next
    return oldest


# ---- the event loop's side

# Event loop -> its Dispatcher, as long as it has open databases.
DISPATCHERS = WeakKeyDictionary()


@cython.final
cdef class Dispatcher:
    """Resolves, on one event loop, the futures of all databases that were opened there."""

    def __cinit__(self):
        self.sink.watched_fd = -1
        self.listeners = ()

    def __dealloc__(self):
        if self.sink.watched_fd >= 0:
            sink_close(&self.sink)

    @staticmethod
    def acquire(loop, make_exception):
        """The loop's dispatcher, made if need be; one call of `release` for each.

        make_exception: turns an exception of the engine into what a future gets; the first caller's counts.
        """
        cdef Dispatcher dispatcher = DISPATCHERS.get(loop)
        if dispatcher is None:
            dispatcher = Dispatcher.__new__(Dispatcher)
            sink_open(&dispatcher.sink)
            dispatcher.loop_reference = ref(loop)
            dispatcher.make_exception = make_exception
            loop.add_reader(dispatcher.sink.watched_fd, dispatcher.drain)
            DISPATCHERS[loop] = dispatcher
        dispatcher.users += 1
        return dispatcher

    def release(self):
        """A database of this loop was closed, and all its futures are resolved."""
        self.users -= 1
        loop = self.loop_reference()
        if self.users == 0 and loop is not None:
            DISPATCHERS.pop(loop, None)
            if not loop.is_closed():
                loop.remove_reader(self.sink.watched_fd)

    def listen(self, listener):
        """Call `listener()` on the loop after each wake-up from now on: something was committed, or refused."""
        self.listeners = (*self.listeners, listener)

    def unlisten(self, listener):
        self.listeners = tuple(each for each in self.listeners if each != listener)

    def wake(self):
        """From any thread: something was committed that no future of this loop waited for. The listeners hear of it."""
        wake_up(self.sink.wake_fd)

    def drain(self):
        """Resolve the futures of everything that is completed, then tell the listeners that there may be more."""
        cdef UserTxn* user = sink_take(&self.sink)
        cdef UserTxn* next
        while user != NULL:
            next = user.next
            try:
                self.finish(user)
            except Exception as error:
                # One of them could not take its answer: the others still get theirs.
                self.loop_reference().call_exception_handler(
                    {"message": "the end of a write could not be told", "exception": error})
            finally:
                Py_DECREF(<object>user.owner)
                user_destroy(user)
            user = next
        for listener in self.listeners:
            listener()

    cdef int finish(self, UserTxn* user) except -1:
        future = <object>user.owner
        if isinstance(future, WriteWaiter):
            return self.tell(<WriteWaiter>future, user)
        if future.done():
            return 0  # cancelled by its owner; what was committed stays
        if user.failure.code != OK:
            future.set_exception(self.make_exception(
                command_exception(&user.failure, user.commands, user.commands_size)))
            return 0
        if user.answer == ANSWER_APPLIED:
            future.set_result(applied_results(user.results.data, user.results.size))
            return 0
        cdef list results = command_results(user.results.data, user.results.size)
        future.set_result(results[0] if user.answer == ANSWER_SINGLE else results)
        return 0

    cdef int tell(self, WriteWaiter waiter, UserTxn* user) except -1:
        """The outcome of a transaction of one command, from its record."""
        cdef char vector[VECTOR_TEXT_MAX]
        cdef const ResultHeader* header = <const ResultHeader*>user.results.data
        cdef const uint8_t* id = user.results.data + sizeof(ResultHeader)
        if user.failure.code != OK:
            return waiter.refused(self.make_exception(
                command_exception(&user.failure, user.commands, user.commands_size)))
        return waiter.written(id, header.id_size, vector, vector_format(
            <const VectorEntry*>(id + header.id_size + header.collection_size), header.vector_count, vector))


# ---- the writer

cdef object refusal(int code):
    cdef ErrorDetail error
    error_clear(&error)
    if code == E_BUSY:
        error_set(&error, code, b"too much waits to be written here (MERGER_QUEUE_SIZE_BYTES_MAX, MERGER_WAIT_MS_MAX)")
    elif code == E_CLOSED:
        error_set(&error, code, b"the database is closed, or was opened before a fork")
    else:
        error_set(&error, code, b"no memory or thread for writing")
    return error_exception(&error)


@cython.final
cdef class DocumentWriter:
    """The one way to change a database: each batch is one user transaction, merged with whatever else waits."""

    def __cinit__(self, DocumentStore store not None):
        store_enter_or_raise(store)
        self.store = store
        self.merger = merger_create(store.env, &store.tables)
        if self.merger == NULL:
            store_leave(store)
            raise MemoryError

    def __dealloc__(self):
        self.close()

    def close(self):
        """Refuse what comes, finish what waits. Futures of the latter are in their dispatcher when this returns."""
        cdef Merger* merger = <Merger*>atomic_load_pointer(<void**>&self.merger)
        if merger == NULL or atomic_load32(&self.store.closing) == STORE_FORKED:
            return  # after a fork: its thread is the parent's
        if not compare_swap_pointer(<void**>&self.merger, merger, NULL):
            return
        with nogil:
            merger_close(merger)
            while atomic_load32(&self.inside):
                sleep_us(CLOSE_LOOK_US)
            merger_destroy(merger)
        store_leave(self.store)

    cdef Merger* enter(self) except NULL:
        """The merger, which stays until `inside` is counted down."""
        cdef Merger* merger
        atomic_add32(&self.inside, 1)
        merger = <Merger*>atomic_load_pointer(<void**>&self.merger)
        if merger == NULL or atomic_load32(&self.store.closing) == STORE_FORKED:
            atomic_add32(&self.inside, <uint32_t>-1)
            raise refusal(E_CLOSED)
        return merger

    cdef UserTxn* hand_over(self, Batch batch) except NULL:
        """The batch's records as a user transaction; the batch is used up."""
        cdef UserTxn* user
        if self.growth_refused is not None and batch.body_bytes != 0:
            raise DiskFull(self.growth_refused)
        batch.check_handed_over()
        user = user_create(batch.records.data, batch.records.size, <unsigned int>batch.count)
        if user == NULL:
            raise MemoryError
        batch.handed_over = True
        output_init(&batch.records, batch.records.limit_bytes)
        return user

    def submit(self, Batch batch not None, future not None, Dispatcher dispatcher not None, bint single=False):
        """Queue a batch; the future gets the list of its CommandResults (single: the only one), or an exception.

        To be called on the dispatcher's loop. Raises: Busy, Closed; the batch is used up all the same.
        """
        if batch.count == 0 and not batch.handed_over:
            future.set_result([])
        else:
            self.submit_for(batch, future, dispatcher, ANSWER_SINGLE if single else ANSWER_LIST)

    def submit_frame(self, Batch batch not None, future not None, Dispatcher dispatcher not None):
        """As submit, of a batch that a frame was added to; the future gets an Applied."""
        self.submit_for(batch, future, dispatcher, ANSWER_APPLIED)

    cdef int submit_for(self, Batch batch, object owner, Dispatcher dispatcher, UserAnswer answer) except -1:
        """Queue a batch for a future or a WriteWaiter."""
        cdef UserTxn* user
        cdef Merger* merger = self.enter()
        cdef int code
        try:
            user = self.hand_over(batch)
            user.answer = answer
            user.sink = &dispatcher.sink
            user.owner = <void*>owner
            Py_INCREF(owner)
            code = merger_submit(merger, user)
            if code != OK:
                Py_DECREF(owner)
                user_destroy(user)
                raise refusal(code)
        finally:
            atomic_add32(&self.inside, <uint32_t>-1)
        return 0

    def execute(self, Batch batch not None):
        """Write a batch and wait for it without the GIL, in this thread when nobody else writes.

        Returns: the list of its CommandResults. Raises: what refused it.
        """
        return self.execute_for(batch, ANSWER_LIST)

    def execute_frame(self, Batch batch not None):
        """As execute, of a batch that a frame was added to; returns an Applied."""
        return self.execute_for(batch, ANSWER_APPLIED)

    cdef object execute_for(self, Batch batch, UserAnswer answer):
        cdef UserTxn* user
        cdef Merger* merger = self.enter()
        cdef int code
        try:
            if batch.count == 0:
                return []
            user = self.hand_over(batch)
            with nogil:
                code = merger_execute(merger, user)
        finally:
            atomic_add32(&self.inside, <uint32_t>-1)
        try:
            if code != OK:
                raise refusal(code)
            if user.failure.code != OK:
                raise command_exception(&user.failure, user.commands, user.commands_size)
            if answer == ANSWER_APPLIED:
                return applied_results(user.results.data, user.results.size)
            return command_results(user.results.data, user.results.size)
        finally:
            user_destroy(user)

    def execute_all(self, list batches not None, int waiting_max=64):
        """Write many batches, each a user transaction, keeping up to `waiting_max` on their way; without the GIL.

        Returns: how many were committed. Raises: the first failure, after all have ended.
        """
        cdef Sink sink
        cdef UserTxn* first = NULL
        cdef UserTxn* last = NULL
        cdef UserTxn* user
        cdef Batch batch
        cdef object failure = None
        cdef Py_ssize_t committed = 0
        cdef Merger* merger = self.enter()
        try:
            sink_open(&sink)
        except OSError:
            atomic_add32(&self.inside, <uint32_t>-1)
            raise
        try:
            for batch in batches:
                if batch.count == 0:
                    continue
                user = self.hand_over(batch)
                user.sink = &sink
                if last == NULL:
                    first = user
                else:
                    last.next = user
                last = user
            with nogil:
                first = run_all(merger, &sink, first, waiting_max if waiting_max > 0 else 1)
        finally:
            atomic_add32(&self.inside, <uint32_t>-1)
            sink_close(&sink)
            while first != NULL:
                user = first
                first = user.next
                if user.failure.code == OK:
                    committed += 1
                elif failure is None:
                    failure = command_exception(&user.failure, user.commands, user.commands_size)
                user_destroy(user)
        if failure is not None:
            raise failure
        return committed

    def counters(self) -> dict:
        """The merger's counters since opening; see MergerCounters."""
        cdef MergerCounters counters
        memset(&counters, 0, sizeof(MergerCounters))
        merger_counters(self.enter(), &counters)
        atomic_add32(&self.inside, <uint32_t>-1)
        return counters


@cython.final
cdef class PutStart(WriteStart):
    """Puts documents for those who wait without a future."""

    def __cinit__(self, DocumentWriter writer not None, Dispatcher dispatcher not None):
        self.writer = writer
        self.dispatcher = dispatcher

    cdef int begin(self, WriteWaiter waiter, str id, const uint8_t* body, size_t body_size) except -1:
        cdef Batch batch = Batch.__new__(Batch)
        batch.put_text(id, body, body_size, None, None, NULL)
        return self.writer.submit_for(batch, waiter, self.dispatcher, ANSWER_SINGLE)


cdef UserTxn* run_all(Merger* merger, Sink* sink, UserTxn* waiting, int waiting_max) noexcept nogil:
    """Submit the list, `waiting_max` at a time; the list of all, when all are completed."""
    cdef UserTxn* done = NULL
    cdef UserTxn* user
    cdef UserTxn* next
    cdef int on_their_way = 0
    cdef int code
    while waiting != NULL or on_their_way:
        while waiting != NULL and on_their_way < waiting_max:
            user = waiting
            waiting = user.next
            code = merger_submit(merger, user)
            if code == OK:
                on_their_way += 1
                continue
            user.failure.code = code
            error_set(&user.failure.detail, code, b"the merger's queue is full or closed")
            user.next = done
            done = user
        if on_their_way == 0:
            continue
        wake_wait(sink.watched_fd)
        user = sink_take(sink)
        while user != NULL:
            next = user.next
            user.next = done
            done = user
            on_their_way -= 1
            user = next
    return done
