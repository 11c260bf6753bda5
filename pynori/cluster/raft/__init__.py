"""Raft, pure: agreement of a group of nodes on one log, as a function of what goes in.

A `RaftNode` has no clock, no network, no disk, no thread and no chance of its own. Ticks, messages and proposals go in;
what is to be stored, sent and applied comes out as one value, `Ready`. The same calls in the same order give the same
values, so a driver, a transcript and a simulation run the very same code.

What goes in
    tick()                        one unit of time passed (a heartbeat is one or more of them)
    step(message)                 a message of another node, or an answer of the own storage, arrived
    propose, propose_many         commands for the log; the leader takes them, others forward them or drop them
    propose_change, apply_change  a change of the membership: proposed, and taken over when its entry is applied
    read_index                    a linearizable read; the answer is in Ready.read_states
    transfer_leader, forget_leader, report_unreachable, report_snapshot

What comes out, and the order in which the caller does it
    1. ready()
    2. Store hard_state, entries and snapshot in one atomic write; if must_sync (or there is a snapshot), durably.
       Entries replace what is stored from the index of their first one on. A snapshot replaces the whole log, and the
       state machine.
    3. Send messages. Not before 2: some promise what 2 makes durable. A leader's appends may go before, while its own
       disk works (they are those of kind APPEND, HEARTBEAT and SNAPSHOT). They may be lost, doubled and reordered, but
       what is delivered must be what was sent: the transport checks that.
    4. Apply committed_entries in order, each once, together with the applied index; for an entry that is a membership
       change decode_change and apply_change, and store the membership it returns with the applied index. Empty entries
       are applied as nothing: a new leader writes one.
    5. advance()
    A read of read_states may be answered as soon as entries up to its index are applied.

With asynchronous storage (Options.asynchronous_storage) 2, 4 and 5 are orders among the messages: STORAGE_APPEND to
APPEND_THREAD holds what is to be stored (its term, vote and commit are the hard state unless all are 0), STORAGE_APPLY
to APPLY_THREAD what is to be applied. Orders to one thread are carried out in order; afterwards the `responses` of each
are delivered: those for this node by step(), others by the network. All other messages go at once, except that those of
kind VOTE wait until the STORAGE_APPEND that came with them is durable. advance() is not called. So the next round need
not wait for the disk, and several writes share one sync.

A snapshot may arrive while older entries are still being applied. Entries that the state machine already has, by such a
snapshot, are not applied to it again; and when apply_change raises Superseded, the rest of that order is left undone,
because the snapshot is about to replace its work. Its responses are delivered all the same.

Why a VOTE waits: it names the candidate's last entry. If a crash lost that entry and the new term with it, the
candidate could ask again at the same term with a shorter log, and a vote given to the longer one would still count.

After a restart: Storage as it was left, Options.applied as the state machine has it, Storage.initial_state() with the
membership that was stored with that applied index. What storage lost behind the last sync it may lose; nothing else.

A node that was removed is switched off only when one who stays has applied its removal: until then the others may still
need its vote.

With lease reads (Options.lease_reads) ticks stand for time: a driver that was held up lets the ticks that it missed
pass before anything else. A lease lasts half an election time from the sending of the heartbeat that a quorum answered,
so clocks may differ in speed by more than a half. Beyond the lease, and after a transfer, a read asks the quorum.

A first membership is a snapshot at some index > 0 that all first members install before they start; a node that joins
later starts with nothing, and gets its snapshot from the leader.

Where things are
    node         the face            core           terms: where a message goes      ready    what comes out
    election, leader, replication, follower, reconfigure: the acts of each role over `state`
    log, unstable, storage: the log  tracker, progress: the followers               read_only: reads
    membership   changes of voters   quorum         majorities                       types    the vocabulary
    describe     everything as text  options        settings

Invariants, checked after every step by tests/cluster/simulation
    R1  At most one node leads at a term.
    R2  Two logs with an entry of the same index and term are equal up to it.
    R3  A leader's log has every entry that was committed before its term.
    R4  All nodes apply the same entry at an index, in order.
    R5  Commit index and applied index never go back while a node runs; a vote that was sent binds over any crash.
    R6  A read sees every write that was acknowledged before the read began.
    R7  Of membership changes at most one is unapplied at a leader at a time.

Bounds: entries in one append and bytes being applied (Options), uncommitted bytes, appends on the way to each follower,
reads that wait (read_only.WAITING_READS_MAX). Imports: the standard library, without time, random, socket and asyncio.
"""

from pynori.cluster.raft.describe import Level, Listener, Sentence
from pynori.cluster.raft.membership import (
    ChangeKind,
    MembershipChange,
    NodeChange,
    Transition,
    decode_change,
    encode_change,
)
from pynori.cluster.raft.node import RaftNode, Status
from pynori.cluster.raft.options import Options
from pynori.cluster.raft.ready import Ready
from pynori.cluster.raft.storage import MemoryStorage, Storage
from pynori.cluster.raft.types import (
    APPEND_THREAD,
    APPLY_THREAD,
    NO_LIMIT,
    NO_NODE,
    ChangeRefused,
    Compacted,
    Entry,
    EntryKind,
    HardState,
    InvariantBroken,
    Membership,
    Message,
    MessageKind,
    MessageRefused,
    ProposalDropped,
    RaftError,
    ReadState,
    Role,
    Snapshot,
    SoftState,
    Superseded,
)

__all__ = [
    "APPEND_THREAD",
    "APPLY_THREAD",
    "NO_LIMIT",
    "NO_NODE",
    "ChangeKind",
    "ChangeRefused",
    "Compacted",
    "Entry",
    "EntryKind",
    "HardState",
    "InvariantBroken",
    "Level",
    "Listener",
    "Membership",
    "MembershipChange",
    "MemoryStorage",
    "Message",
    "MessageKind",
    "MessageRefused",
    "NodeChange",
    "Options",
    "ProposalDropped",
    "RaftError",
    "RaftNode",
    "ReadState",
    "Ready",
    "Role",
    "Sentence",
    "Snapshot",
    "SoftState",
    "Status",
    "Storage",
    "Superseded", "Transition",
    "decode_change",
    "encode_change",
]  # fmt: skip
