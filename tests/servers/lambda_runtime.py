"""AWS Lambda on loopback: the Invoke API, and behind it real runtimes, each with its Runtime API.

    with Lambda("bams3.variants.handler.lambda_handler", environ, workers=2, timeout=30) as server:
        boto3.client("lambda", endpoint_url=server.url, ...).invoke(FunctionName="f", ...)

A runtime is a process of awslambdaric, as in the cloud. One that exceeds the timeout is killed and
started again, and so is one that ends; the caller is told in the words of AWS.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from tests.servers.threaded import Server

TRACE = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0"
PROGRAM = (sys.executable, "-m", "awslambdaric")


@dataclass
class Invocation:
    payload: bytes
    deadline: float
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    answer: bytes = b""
    error: str = ""
    done: threading.Event = field(default_factory=threading.Event)

    def finish(self, answer: bytes, error: str = "") -> None:
        self.answer, self.error = answer, error
        self.done.set()

    def fail(self, kind: str, message: str) -> None:
        self.finish(json.dumps({"errorType": kind, "errorMessage": message}).encode(), "Unhandled")


class Runtime(Server):
    """The Runtime API of one worker, and its process."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        super().__init__(_RuntimeApi)
        self.waiting: queue.Queue[Invocation] = queue.Queue()
        self.current: Invocation | None = None
        self._command = command
        self._environ = {**environ, "AWS_LAMBDA_RUNTIME_API": self.url.removeprefix("http://")}
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(self._command, env=self._environ, **quiet)

    def invoke(self, invocation: Invocation) -> None:
        """Answer an invocation, by the runtime or for it."""
        self.waiting.put(invocation)
        while not invocation.done.wait(0.05):
            if self.process.poll() is not None:
                invocation.fail("Runtime.ExitError", f"exit status {self.process.returncode}")
            elif time.time() > invocation.deadline:
                invocation.fail("Sandbox.Timedout", "Task timed out")
            else:
                continue
            self.process.kill()
            self.process.wait()
            self.waiting = queue.Queue()
            self.process = self._start()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        super().close()


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))


class _RuntimeApi(_Quiet):
    server: Runtime

    def do_GET(self) -> None:
        invocation = self.server.waiting.get()
        self.server.current = invocation
        self.answer(
            200,
            invocation.payload,
            Lambda_Runtime_Aws_Request_Id=invocation.id,
            Lambda_Runtime_Deadline_Ms=str(int(invocation.deadline * 1000)),
            Lambda_Runtime_Invoked_Function_Arn="arn:aws:lambda:us-east-1:1:function:f",
            Lambda_Runtime_Trace_Id=TRACE,
        )

    def do_POST(self) -> None:
        body, current = self.body(), self.server.current
        if current is not None and current.id in self.path:
            current.finish(body, "" if self.path.endswith("response") else "Unhandled")
        self.answer(202, b"{}")


class Lambda(Server):
    """The Invoke API; invocations go to whichever runtime is free."""

    def __init__(
        self,
        handler: str,
        environ: Mapping[str, str],
        workers: int = 2,
        timeout: float = 60.0,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self.timeout_seconds = timeout
        self.payloads: list[bytes] = []
        environ = {
            "AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
            "LAMBDA_TASK_ROOT": ".", **environ,
        }  # fmt: skip
        self.runtimes = [Runtime([*program, handler], environ) for _ in range(workers)]
        self.free: queue.Queue[Runtime] = queue.Queue()
        for runtime in self.runtimes:
            self.free.put(runtime)
        super().__init__(_InvokeApi)

    def close(self) -> None:
        for runtime in self.runtimes:
            runtime.close()
        super().close()


class _InvokeApi(_Quiet):
    server: Lambda

    def do_POST(self) -> None:
        payload = self.body()
        self.server.payloads.append(payload)
        runtime = self.server.free.get()
        invocation = Invocation(payload, time.time() + self.server.timeout_seconds)
        try:
            runtime.invoke(invocation)
        finally:
            self.server.free.put(runtime)
        headers = {"X-Amz-Function-Error": invocation.error} if invocation.error else {}
        self.answer(200, invocation.answer, **headers)
