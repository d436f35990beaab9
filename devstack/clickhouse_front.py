"""ClickHouse's HTTP interface in front of the embedded ClickHouse engine (chdb).

What it is for: a machine without Docker gets the real engine, spoken to exactly as one speaks to
a ClickHouse server over HTTP. One request is one session: a fresh engine connection (0.6 ms) takes
the request's settings, runs its statement and is closed, so that nothing leaks between requests.

What it never does: understand SQL beyond finding where an INSERT's data begins and which FORMAT a
statement names; keep state of its own (users, sessions and external tables are refused, not faked).

  request -> parameters -> statement (+ data in a memfd) -> engine -> answer
"""

import argparse
import base64
import email.parser
import email.policy
import json
import os
import re
import select
import signal
import socket
import struct
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from urllib.parse import parse_qsl, urlsplit

MIB = 1024 * 1024
# A batch is at most 50,000 rows and some tens of MiB; ten times that is room enough for loads.
MAX_BODY = 512 * MIB
# All request bodies held at one moment: beyond it new ones are refused, not swapped.
MAX_BODIES_IN_FLIGHT = 1024 * MIB
# A statement that is longer than this is a mistake (ClickHouse's max_query_size is 256 KiB).
MAX_QUERY = 16 * MIB
# Answers up to this size carry their true status and summary; longer ones are streamed.
BUFFERED_ANSWER = 4 * MIB
# Formats that cannot be streamed are held whole; the engine stops a result beyond this.
MAX_WHOLE_ANSWER = 512 * MIB
# Open connections; each one is a thread.
MAX_CONNECTIONS = 512
# A connection with nothing to say is closed after this time; clients' pools forget sooner.
IDLE_SECONDS = 120
# On SIGTERM running statements get this long before they are killed.
DRAIN_SECONDS = 10
# The setting that carries a request's query_id to system.processes. The engine assigns its own
# query ids and reads this one only when logs are sent to a client, which HTTP never does.
MARKER = "send_logs_source_regexp"

# Session settings before the client's own: those of a ClickHouse server where the embedded engine
# differs, and synchronous inserts in one block.
BASE_SETTINGS = {
    "async_insert": "0",
    "implicit_select": "0",
    "allow_introspection_functions": "0",
    "max_result_bytes": str(MAX_WHOLE_ANSWER),
    "result_overflow_mode": "throw",
}

STATUS_OF_CODE = {
    400: {6, 25, 26, 27, 36, 38, 41, 43, 44, 16, 15, 53, 62, 72, 117, 167, 168, 276, 376, 378, 427,
          428, 429, 441, 577, 675, 676, 56},
    403: {192, 193, 516, 497, 512},
    401: {194},
    404: {46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511},
    408: {159},
    413: {229},
    501: {48},
    503: {76, 202, 209, 439},
}
TEXT, JSON, BINARY = "text/plain; charset=UTF-8", "application/json; charset=UTF-8", "application/octet-stream"

# How many leading lines (text) repeat in every streamed chunk of a format; None: a binary header.
STREAMABLE = {
    "TabSeparated": 0, "TSV": 0, "TabSeparatedRaw": 0, "TSVRaw": 0, "CSV": 0, "JSONEachRow": 0,
    "JSONLines": 0, "NDJSON": 0, "JSONCompactEachRow": 0, "JSONStringsEachRow": 0, "RowBinary": 0,
    "LineAsString": 0, "RawBLOB": 0, "Native": 0, "RowBinaryWithNamesAndTypes": None,
}


class Refused(Exception):
    """A request the front answers itself, with ClickHouse's error code and name."""

    def __init__(self, code, name, text, status=None):
        super().__init__(text)
        self.code, self.name, self.text, self.status = code, name, text, status


def status_of(code):
    """HTTP status of a ClickHouse error code, as the server maps it."""
    for status, codes in STATUS_OF_CODE.items():
        if code in codes:
            return status
    return 500


def quoted(text):
    """A string literal of ClickHouse SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


# --- the statement -------------------------------------------------------------------------------

TOKEN = re.compile(
    rb"""(?P<space>\s+|--[^\n]*|\#[ !][^\n]*|/\*.*?\*/)|(?P<string>'(?:[^'\\]|\\.|'')*')"""
    rb"""|(?P<name>"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`)|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"""
    rb"""|(?P<number>[0-9][0-9A-Za-z_.]*)|(?P<other>.)""",
    re.S,
)


def tokens(sql):
    """(kind, text, start, end, depth) of every token but white space."""
    depth = 0
    for match in TOKEN.finditer(sql):
        kind = match.lastgroup
        if kind == "space":
            continue
        text = match.group()
        if text in (b"(", b"[", b"{"):
            depth += 1
        elif text in (b")", b"]", b"}"):
            depth -= 1
        yield kind, text, match.start(), match.end(), depth


class Statement:
    """What the front needs to know of a statement: its first word, format, and where data begins."""

    def __init__(self, sql):
        self.verb = ""
        self.format = None
        self.format_at = None
        self.data_at = None
        self.settings_at = None
        self._read(sql)

    def _read(self, sql):
        previous = b""
        for kind, text, start, end, depth in tokens(sql):
            word = text.upper() if kind == "word" else b""
            if not self.verb and kind != "other":
                self.verb = word.decode()
            if depth == 0 and previous == b"FORMAT" and kind in ("word", "name"):
                self.format = text.strip(b'`"').decode()
                self.data_at = end
                if self.verb == "INSERT":
                    self._settings_after(sql)
                    return
            elif depth == 0 and word == b"FORMAT":
                self.format_at = start
            elif depth == 0 and self.verb == "INSERT" and word in (b"SELECT", b"WITH", b"VALUES", b"INFILE", b"WATCH"):
                return
            previous = word if depth == 0 else b""

    def _settings_after(self, sql):
        """`FORMAT x SETTINGS a = 1`: the settings belong to the statement, not to the data."""
        rest = re.match(rb"\s+SETTINGS\s+(?:\w+\s*=\s*(?:'(?:[^'\\]|\\.)*'|[\w.+-]+)\s*,?\s*)+", sql[self.data_at:], re.I)
        if rest:
            self.settings_at = (self.data_at, self.data_at + rest.end())
            self.data_at += rest.end()

    def inserts_data(self):
        """True for an INSERT whose rows follow the statement in a named format."""
        return self.verb == "INSERT" and self.format is not None and self.format.upper() != "VALUES"


def with_infile(sql, statement, path, compression):
    """The INSERT, reading its rows from `path`."""
    head = sql[:statement.format_at].decode()
    settings = ""
    if statement.settings_at:
        settings = sql[statement.settings_at[0]:statement.settings_at[1]].decode()
    before = re.search(r"\bSETTINGS\s+\w+\s*=", head, re.I)
    cut = before.start() if before else len(head)
    how = f" COMPRESSION '{compression}'" if compression else ""
    return f"{head[:cut]} FROM INFILE '{path}'{how} {head[cut:]} {settings} FORMAT {statement.format}"


PROCESSES = (
    "(SELECT * REPLACE (if(Settings['%s'] = '', query_id, Settings['%s']) AS query_id) FROM system.processes)"
    % (MARKER, MARKER)
).encode()


def with_query_ids(sql, verb):
    """Let a statement see requests' query ids where the engine shows its own."""
    out, last, held = [], 0, []
    for kind, text, start, end, _ in tokens(sql):
        name = text.strip(b'`"').lower() if kind in ("word", "name") else text
        if verb == "KILL" and name == b"query_id":
            out += [sql[last:start], ("Settings['%s']" % MARKER).encode()]
            last = end
        held = held[-2:] + [(name, start)]
        if verb != "KILL" and [entry[0] for entry in held] == [b"system", b".", b"processes"]:
            out += [sql[last:held[0][1]], PROCESSES]
            last = end
    return b"".join(out) + sql[last:]


# --- compressed request bodies -------------------------------------------------------------------

LZ4_FRAME_HEAD = b"\x04\x22\x4d\x18\x60\x70\x73"  # version 1, independent blocks of up to 4 MiB
LZ4_BLOCK_MAX = 4 * MIB
METHOD_NONE, METHOD_LZ4, METHOD_ZSTD = 0x02, 0x82, 0x90


def native_blocks(body):
    """(method, stored bytes, unpacked size) of each block of ClickHouse's own compression."""
    at, end = 0, len(body)
    while at < end:
        if end - at < 25:
            raise Refused(271, "CANNOT_DECOMPRESS", "compressed body ends inside a block header")
        method, size, unpacked = struct.unpack_from("<BII", body, at + 16)
        if size < 9 or at + 16 + size > end:
            raise Refused(271, "CANNOT_DECOMPRESS", "compressed body ends inside a block")
        yield method, body[at + 25:at + 16 + size], unpacked
        at += 16 + size


def reframed(body):
    """ClickHouse's compressed blocks as one file the engine reads itself: (kind, pieces)."""
    blocks = list(native_blocks(memoryview(body)))
    methods = {method for method, _, _ in blocks}
    if methods <= {METHOD_ZSTD} and methods:
        return "zstd", [data for _, data, _ in blocks]
    if not methods <= {METHOD_LZ4, METHOD_NONE}:
        raise Refused(89, "UNKNOWN_COMPRESSION_METHOD", "request blocks must be LZ4, ZSTD or NONE, not mixed")
    pieces = [LZ4_FRAME_HEAD]
    for method, data, unpacked in blocks:
        if unpacked > LZ4_BLOCK_MAX:
            raise Refused(48, "NOT_IMPLEMENTED", "compressed blocks of more than 4 MiB are not supported by this front")
        stored = 0x80000000 if method == METHOD_NONE else 0
        pieces += [struct.pack("<I", len(data) | stored), data]
    return "lz4", pieces + [b"\0\0\0\0"]


def unpacked_lz4(data, size):
    """One LZ4 block, unpacked in plain Python: for statements, which are short."""
    out, at, end = bytearray(), 0, len(data)
    while at < end:
        token = data[at]
        at += 1
        length = token >> 4
        if length == 15:
            while True:
                length += data[at]
                at += 1
                if data[at - 1] != 255:
                    break
        out += data[at:at + length]
        at += length
        if at >= end:
            break
        back = data[at] | data[at + 1] << 8
        at += 2
        length = (token & 15) + 4
        if length == 19:
            while True:
                length += data[at]
                at += 1
                if data[at - 1] != 255:
                    break
        for _ in range(length):
            out.append(out[-back])
    if len(out) != size:
        raise Refused(271, "CANNOT_DECOMPRESS", "a compressed block has another size than it says")
    return bytes(out)


def plain(body):
    """A compressed statement, unpacked."""
    out = []
    for method, data, size in native_blocks(body):
        if method == METHOD_LZ4:
            out.append(unpacked_lz4(data, size))
        elif method == METHOD_NONE:
            out.append(bytes(data))
        else:
            raise Refused(89, "UNKNOWN_COMPRESSION_METHOD", "a compressed statement must be LZ4 or NONE")
    return b"".join(out)


# --- the engine ----------------------------------------------------------------------------------


class Engine:
    """The embedded engine: opens sessions, knows what runs, kills what must stop."""

    def __init__(self, address, max_queries):
        from chdb import _chdb

        _chdb.set_signal_handlers_enabled(False)
        self._open = _chdb.connect
        self._address = address
        self._control = self._open(address)  # keeps the engine up while no request runs
        self._control_lock = threading.Lock()
        self._lock = threading.Lock()
        self._running = {}
        self.max_queries = max_queries
        self.idle = threading.Condition(self._lock)

    def session(self):
        return self._open(self._address)

    def admit(self, query_id):
        with self._lock:
            if query_id in self._running:
                raise Refused(216, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING", f"Query with id = {query_id} is already running")
            if len(self._running) >= self.max_queries:
                raise Refused(202, "TOO_MANY_SIMULTANEOUS_QUERIES", f"Too many simultaneous queries. Maximum: {self.max_queries}")
            self._running[query_id] = time.monotonic()

    def leave(self, query_id):
        with self._lock:
            self._running.pop(query_id, None)
            if not self._running:
                self.idle.notify_all()

    def control(self, sql, form="TabSeparated", bound=None):
        with self._control_lock:
            return self._control.query(sql, form, params=bound or {})

    def kill(self, query_id):
        self.control(f"KILL QUERY WHERE Settings['{MARKER}'] = {quoted(query_id)} ASYNC")

    def drain(self, seconds):
        """Wait for running statements; kill those that are not done in time."""
        with self._lock:
            self.idle.wait_for(lambda: not self._running, seconds)
            left = list(self._running)
        for query_id in left:
            self.kill(query_id)
        with self._lock:
            self.idle.wait_for(lambda: not self._running, seconds)

    def close(self):
        self._control.close()


class Watcher(threading.Thread):
    """Kills the select of a client that has gone."""

    def __init__(self, engine):
        super().__init__(daemon=True, name="watcher")
        self._engine = engine
        self._poll = select.poll()
        self._lock = threading.Lock()
        self._watched = {}
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        self._poll.register(self._wake_read, select.POLLIN)

    def watch(self, connection, query_id):
        with self._lock:
            self._watched[connection.fileno()] = query_id
            self._poll.register(connection.fileno(), select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        os.write(self._wake_write, b"x")

    def forget(self, connection):
        with self._lock:
            if self._watched.pop(connection.fileno(), None) is not None:
                try:
                    self._poll.unregister(connection.fileno())
                except KeyError:
                    pass  # already unregistered because the client went

    def run(self):
        while True:
            for fd, _ in self._poll.poll():
                if fd == self._wake_read:
                    try:
                        os.read(fd, 4096)
                    except BlockingIOError:
                        pass
                    continue
                with self._lock:
                    query_id = self._watched.get(fd)
                    try:
                        self._poll.unregister(fd)
                    except KeyError:
                        pass
                if query_id is not None:
                    self._engine.kill(query_id)


class Budget:
    """Bytes of request bodies held at one moment."""

    def __init__(self, limit):
        self._left = limit
        self._lock = threading.Lock()

    def take(self, size):
        with self._lock:
            if size > self._left:
                raise Refused(241, "MEMORY_LIMIT_EXCEEDED", "too many request bodies in flight, try again", 503)
            self._left -= size

    def give(self, size):
        with self._lock:
            self._left += size


class Body:
    """A request body in an anonymous memory file, which vanishes with the process."""

    def __init__(self, budget):
        self._budget = budget
        self.fd = os.memfd_create("body")
        self.size = 0

    def write(self, data):
        if self.size + len(data) > MAX_BODY:
            raise Refused(229, "QUERY_IS_TOO_LARGE", f"request body is larger than {MAX_BODY} bytes")
        self._budget.take(len(data))
        self.size += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self.fd, view):]

    def bytes(self):
        return os.pread(self.fd, self.size, 0)

    def replace(self, pieces):
        """Other contents, of about the same size."""
        os.ftruncate(self.fd, 0)
        os.lseek(self.fd, 0, os.SEEK_SET)
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[os.write(self.fd, view):]

    def path(self):
        return f"/proc/self/fd/{self.fd}"

    def close(self):
        os.close(self.fd)
        self._budget.give(self.size)


# --- one request ---------------------------------------------------------------------------------

RESERVED = {
    "query", "database", "default_format", "query_id", "compress", "decompress", "user", "password",
    "quota_key", "stacktrace", "buffer_size", "wait_end_of_query", "close_session", "session_timeout",
    "session_check", "session_id", "role", "client_protocol_version",
}


class Request:
    """Parameters of a request, read once."""

    def __init__(self, url, headers):
        self.settings, self.bound, self.known = {}, {}, {}
        for name, value in parse_qsl(url.query, keep_blank_values=True, max_num_fields=1000):
            if name in RESERVED:
                self.known[name] = value
            elif name.startswith("param_"):
                self.bound[name[6:]] = value
            elif re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                self.settings[name] = value
            else:
                raise Refused(115, "UNKNOWN_SETTING", f"Unknown setting '{name}'")
        self.database = self.known.get("database") or headers.get("X-ClickHouse-Database") or ""
        self.format = self.known.get("default_format") or headers.get("X-ClickHouse-Format") or "TabSeparated"
        self.query_id = self.known.get("query_id") or headers.get("X-ClickHouse-Query-Id") or str(uuid.uuid4())
        if self.flag("compress"):
            raise Refused(48, "NOT_IMPLEMENTED", "compress=1 is not supported by this front: ask for plain answers")
        if self.known.get("session_id") or self.known.get("role"):
            raise Refused(48, "NOT_IMPLEMENTED", "session_id and role are not supported by this front")
        if not re.fullmatch(r"\w+", self.format):
            raise Refused(73, "UNKNOWN_FORMAT", f"Unknown format {self.format}")

    def flag(self, name):
        return self.known.get(name, "0") not in ("", "0", "false")

    def take_parts(self, body, content_type):
        """`multipart/form-data`: the statement and its parameters as parts."""
        head = f"Content-Type: {content_type}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
        query = b""
        for part in message.iter_parts():
            name = part.get_param("name", header="content-disposition") or ""
            value = part.get_payload(decode=True) or b""
            if name == "query":
                query = value
            elif name.startswith("param_"):
                self.bound[name[6:]] = value.decode()
            else:
                raise Refused(48, "NOT_IMPLEMENTED", "external tables are not supported by this front")
        return query


class Handler(BaseHTTPRequestHandler):
    """One client connection."""

    protocol_version = "HTTP/1.1"
    server_version = "ClickHouse-front"
    sys_version = ""
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    rbufsize = 256 * 1024
    wbufsize = 256 * 1024

    def log_message(self, *_):
        pass

    def handle_expect_100(self):
        self.send_response_only(100)
        self.end_headers()
        self.wfile.flush()  # the client waits for this line before it sends its body
        return True

    # Verbs.

    def do_GET(self):
        path = urlsplit(self.path).path
        if path in ("/ping", "/replicas_status"):
            return self.answer(200, b"Ok.\n", {"Content-Type": TEXT})
        if path == "/" and not urlsplit(self.path).query:
            return self.answer(200, b"Ok.\n", {"Content-Type": TEXT})
        return self.serve(readonly=True)

    do_HEAD = do_GET

    def do_POST(self):
        self.serve(readonly=False)

    def do_OPTIONS(self):
        self.answer(204, b"", {})

    # The path of a statement.

    def serve(self, readonly):
        body, query_id = None, None
        try:
            body = self.receive()  # first: what is not read would be taken for the next request
            url = urlsplit(self.path)
            if url.path not in ("/", "/query"):
                return self.answer(404, b"There is no handle " + url.path.encode() + b"\n", {"Content-Type": TEXT})
            request = Request(url, self.headers)
            self.authenticate(request)
            sql, statement, compression = self.statement(request, body)
            if readonly and self.server.engine_class(sql) != "READ_ONLY":
                raise Refused(164, "READONLY", "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. You should use method POST for modifying queries")
            if self.server.stopping:
                raise Refused(439, "CANNOT_SCHEDULE_TASK", "the server is shutting down")
            if statement.verb == "KILL":
                return self.kill(request, sql)
            self.server.engine.admit(request.query_id)
            query_id = request.query_id
            self.run(request, sql, statement, body, compression)
        except Refused as refused:
            self.refuse(refused.code, f"Code: {refused.code}. DB::Exception: {refused.text}. ({refused.name})\n", refused.status)
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        finally:
            if query_id is not None:
                self.server.engine.leave(query_id)
            if body is not None:
                body.close()

    def authenticate(self, request):
        if not self.server.password:
            return
        user = request.known.get("user") or self.headers.get("X-ClickHouse-User") or "default"
        key = request.known.get("password") or self.headers.get("X-ClickHouse-Key") or ""
        basic = self.headers.get("Authorization", "")
        if basic.startswith("Basic "):
            user, _, key = base64.b64decode(basic[6:]).decode("utf-8", "replace").partition(":")
        if (user, key) != (self.server.user, self.server.password):
            self.close_connection = True
            raise Refused(516, "AUTHENTICATION_FAILED", f"{user}: Authentication failed: password is incorrect, or there is no user with such name")

    def receive(self):
        """The whole body, before anything is executed: a client that dies half-way inserts nothing."""
        body = Body(self.server.budget)
        try:
            if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
                while size := int(self.rfile.readline(64).split(b";")[0], 16):
                    self.copy(body, size)
                    self.rfile.readline(64)
                while self.rfile.readline(4096).strip():
                    pass
            else:
                self.copy(body, int(self.headers.get("Content-Length") or 0))
            return body
        except ValueError:
            body.close()
            raise ConnectionError("malformed body") from None
        except BaseException:
            self.close_connection = True
            body.close()
            raise

    def copy(self, body, size):
        while size:
            data = self.rfile.read1(min(size, MIB))
            if not data:
                raise ConnectionError("client went in the middle of its body")
            body.write(data)
            size -= len(data)

    def statement(self, request, body):
        """The statement as the engine gets it; rows stay in the body. (sql, statement, compression)"""
        in_url = request.known.get("query", "").encode()
        content_type = self.headers.get("Content-Type", "")
        compression = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate", "zstd": "zstd", "lz4": "lz4",
                       "br": "br", "xz": "xz", "": None}.get(self.headers.get("Content-Encoding", ""), "?")
        if compression == "?":
            raise Refused(48, "NOT_IMPLEMENTED", "unknown Content-Encoding")
        if content_type.startswith("multipart/form-data"):
            in_url += request.take_parts(body.bytes(), content_type)
            return in_url, Statement(in_url), None
        statement = Statement(in_url)
        if statement.inserts_data():
            return in_url, statement, self.unpack(request, body, compression)
        if body.size > MAX_QUERY and not in_url and not Statement(os.pread(body.fd, 65536, 0)).inserts_data():
            raise Refused(229, "QUERY_IS_TOO_LARGE", f"statement is larger than {MAX_QUERY} bytes")
        if compression:
            raise Refused(48, "NOT_IMPLEMENTED", "a compressed statement is not supported by this front: compress only rows")
        sent = plain(body.bytes()) if request.flag("decompress") and body.size else body.bytes()
        sql = in_url + (b"\n" if in_url and sent else b"") + sent
        if not sql.strip():
            raise Refused(62, "SYNTAX_ERROR", "Empty query")
        statement = Statement(sql)
        if statement.inserts_data():
            rows = re.match(rb"[ \t\r]*;?[ \t\r]*\n?", sql[statement.data_at:]).end()
            body.replace([sql[statement.data_at + rows:]])
            sql = sql[:statement.data_at]
        return sql, statement, None

    def unpack(self, request, body, compression):
        """Rows that came in ClickHouse's own compression become a file the engine reads itself."""
        if not request.flag("decompress") or not body.size:
            return compression
        if compression:
            raise Refused(48, "NOT_IMPLEMENTED", "decompress=1 together with Content-Encoding")
        kind, pieces = reframed(body.bytes())
        body.replace(pieces)
        return kind

    def run(self, request, sql, statement, body, compression):
        session = self.server.engine.session()
        reads = statement.verb in ("SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS", "")
        if reads:
            self.server.watcher.watch(self.connection, request.query_id)
        try:
            self.prepare(session, request)
            if statement.inserts_data():
                sql = with_infile(sql, statement, body.path(), compression).encode()
            elif b"processes" in sql:
                sql = with_query_ids(sql, statement.verb)
            text = sql.decode("utf-8", "surrogateescape")
            form = statement.format or request.format
            if statement.verb in ("SELECT", "WITH") and form in STREAMABLE:
                return self.stream(session, request, text, form)
            result = session.query(text, form, params=request.bound)
            self.answer_rows(request, form, [result.get_memview().view()] if result.size() else [], totals(result))
        except RuntimeError as error:
            self.refuse_engine(error)
        finally:
            if reads:
                self.server.watcher.forget(self.connection)
            session.close()

    def prepare(self, session, request):
        settings = BASE_SETTINGS | request.settings | {MARKER: request.query_id}
        session.query("SET " + ", ".join(f"{name} = {quoted(value)}" for name, value in settings.items()))
        database = request.database or self.server.database
        if database and database != "default":
            session.query("USE `" + database.replace("\\", "\\\\").replace("`", "\\`") + "`")

    def kill(self, request, sql):
        try:
            result = self.server.engine.control(with_query_ids(sql, "KILL").decode(), request.format, request.bound)
            self.answer_rows(request, request.format, [result.bytes()], totals(result))
        except RuntimeError as error:
            self.refuse_engine(error)

    # Answers.

    def stream(self, session, request, text, form):
        """Rows as the engine makes them: small answers whole, long ones in chunks."""
        handle = session.send_query(text, form, params=request.bound)
        held, size, sums, repeated, begun = [], 0, Totals(), 0, False
        try:
            while True:
                chunk = session.streaming_fetch_result(handle)
                rows, data = chunk.rows_read(), chunk.bytes()
                sums.add(chunk)
                if not repeated and STREAMABLE[form] is None:
                    repeated = binary_header(data)
                elif repeated:
                    data = data[repeated:]
                held.append(data)
                size += len(data)
                if rows == 0:
                    break
                if size > BUFFERED_ANSWER:
                    begun = begun or self.begin(request, form)
                    self.send_chunks(held)
                    held, size = [], 0
        except RuntimeError as error:
            if not begun:
                raise
            self.send_chunks(held + [str(error).encode() + b"\n"])
            self.close_connection = True  # without the last chunk: the client sees a broken answer
            self.wfile.flush()
            return
        except OSError:
            session.streaming_cancel_query(handle)
            raise
        if begun:
            self.send_chunks(held)
            self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()
        else:
            self.answer_rows(request, form, held, sums.summary())

    def begin(self, request, form):
        self.send_response(200)
        for name, value in self.headers_of(request, form).items():
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        return True

    def send_chunks(self, pieces):
        for piece in pieces:
            if piece:
                self.wfile.write(b"%x\r\n" % len(piece))
                self.wfile.write(piece)
                self.wfile.write(b"\r\n")

    def headers_of(self, request, form):
        kind = JSON if form.startswith("JSON") else BINARY if "Binary" in form or form in ("Native", "Parquet") else TEXT
        return {
            "Content-Type": kind,
            "X-ClickHouse-Format": form,
            "X-ClickHouse-Query-Id": request.query_id,
            "X-ClickHouse-Server-Display-Name": "devstack",
            "X-ClickHouse-Timezone": "UTC",
        }

    def answer_rows(self, request, form, pieces, summary):
        headers = self.headers_of(request, form) | {"X-ClickHouse-Summary": json.dumps(summary, separators=(",", ":"))}
        self.answer(200, pieces, headers)

    def refuse_engine(self, error):
        found = re.match(r"Code: (\d+)", str(error))
        self.refuse(int(found.group(1)) if found else 1002, str(error).rstrip() + "\n", None)

    def refuse(self, code, text, status):
        headers = {"Content-Type": TEXT, "X-ClickHouse-Exception-Code": str(code)}
        self.answer(status or status_of(code), text.encode(), headers)

    def answer(self, status, body, headers):
        pieces = [body] if isinstance(body, bytes) else body
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(sum(len(piece) for piece in pieces)))
            if self.close_connection or self.server.stopping:
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            if self.command != "HEAD":
                for piece in pieces:
                    self.wfile.write(piece)
            self.wfile.flush()
        except OSError:
            self.close_connection = True


class Totals:
    """Sums over the chunks of a streamed answer."""

    def __init__(self):
        self.rows = self.size = self.read_rows = self.read_bytes = 0
        self.started = time.monotonic()

    def add(self, chunk):
        self.rows += chunk.rows_read()
        self.size += chunk.size()
        self.read_rows = max(self.read_rows, chunk.storage_rows_read())
        self.read_bytes = max(self.read_bytes, chunk.storage_bytes_read())

    def summary(self):
        return summary(self.read_rows, self.read_bytes, (0, 0), (self.rows, self.size), time.monotonic() - self.started)


def totals(result):
    """The summary of a statement that was answered whole."""
    written = (result.rows_written(), result.bytes_written())
    read_rows, read_bytes = result.storage_rows_read(), result.storage_bytes_read()
    if written[0] and not read_rows:
        read_rows, read_bytes = written  # rows read from the request's body
    rows = written[0] or result.rows_read()
    return summary(read_rows, read_bytes, written, (rows, written[1] or result.size()), result.elapsed())


def summary(read_rows, read_bytes, written, answered, elapsed):
    """X-ClickHouse-Summary: every value a string, as the server writes it."""
    values = {
        "read_rows": read_rows, "read_bytes": read_bytes, "written_rows": written[0],
        "written_bytes": written[1], "total_rows_to_read": read_rows, "result_rows": answered[0],
        "result_bytes": answered[1], "elapsed_ns": int(elapsed * 1e9),
    }
    return {name: str(value) for name, value in values.items()}


def binary_header(data):
    """Length of the names and types at the head of RowBinaryWithNamesAndTypes."""
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    for _ in range(2 * number()):
        length = number()
        at += length
    return at


class Front(ThreadingMixIn, HTTPServer):
    """The listener: one thread a connection, a bounded number of them."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 512
    allow_reuse_address = True

    def __init__(self, options, engine):
        self.engine, self.database = engine, options.database
        self.user, self.password = options.user, os.environ.get("MILLRACE_CLICKHOUSE_PASSWORD", "")
        self.budget = Budget(MAX_BODIES_IN_FLIGHT)
        self.watcher = Watcher(engine)
        self.watcher.start()
        self.stopping = False
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._classifier = engine.session()
        self._classifier_lock = threading.Lock()
        super().__init__((options.listen, options.port), Handler)

    def engine_class(self, sql):
        with self._classifier_lock:
            found = self._classifier.classify_query(sql.decode("utf-8", "surrogateescape"))
        return found["query_class"].name

    def process_request(self, request, client_address):
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request, client_address):
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request, client_address):
        error = sys.exc_info()[1]
        if not isinstance(error, (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)

    def server_bind(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.server_address


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="directory of the engine; one process may open it")
    parser.add_argument("--config", help="configuration file of the engine (XML)")
    parser.add_argument("--listen", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database", default="default", help="database of requests that name none")
    parser.add_argument("--user", default="default", help="checked when MILLRACE_CLICKHOUSE_PASSWORD is set")
    parser.add_argument("--max-concurrent-queries", type=int, default=64)
    return parser.parse_args()


def main():
    os.environ["TZ"] = "UTC"
    chosen = options()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    config = f"?config-file={chosen.config}" if chosen.config else ""
    engine = Engine(chosen.data + config, chosen.max_concurrent_queries)
    front = Front(chosen, engine)
    listener = threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    listener.start()
    print(f"listening on {chosen.listen}:{chosen.port}", flush=True)
    while not stop.wait(1):
        pass
    front.stopping = True
    front.shutdown()
    engine.drain(DRAIN_SECONDS)
    front.server_close()
    front._classifier.close()
    engine.close()
    print("stopped", flush=True)
    os._exit(0)  # idle client threads hold nothing that needs an end


if __name__ == "__main__":
    main()
