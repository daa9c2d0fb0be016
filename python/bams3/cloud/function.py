"""The function, from a container image or from a layer."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from bams3.cloud.deployment import Settings
from bams3.cloud.layer import Layer
from bams3.cloud.resource import Aspect, Resource
from bams3.errors import ExistsError

HANDLER = "bams3.variants.handler.lambda_handler"
_SOURCES = {"Image": "an image", "Zip": "a layer"}
_EPOCH = (1980, 1, 1, 0, 0, 0)


class Function(Resource):
    """The function."""

    kind = "function"

    @property
    def arn(self) -> str:
        """Its ARN."""
        return self.place.arn("lambda", f"function:{self.name}")

    def exists(self) -> bool:
        """Whether it is there. Raises ExistsError where it is made in the other way."""
        found = self.aws.find("lambda", "get_function", FunctionName=self.name)
        if found is None:
            return False
        self.check_owner(found.get("Tags", {}))
        if self.settings is not None:
            self._check_made(found["Configuration"], self.settings)
        return True

    def _check_made(self, found: Mapping[str, Any], settings: Settings) -> None:
        """Check what cannot be changed, or not on the way."""
        kind, architecture = found.get("PackageType", "Zip"), found["Architectures"][0]
        if (kind, architecture) != (self._package, settings.architecture):
            raise ExistsError(
                f"function {self.name}: was made from {_SOURCES[kind]} for {architecture}",
                f"bams3 cloud cleanup {self.place.name} first; the bucket's data are kept",
            )

    @property
    def _package(self) -> str:
        return "Image" if self.settings and self.settings.image else "Zip"

    def create(self) -> None:
        """Create it, and wait until it can be invoked."""
        assert self.settings is not None
        if self.settings.image:
            code: dict[str, Any] = {"Code": {"ImageUri": self.settings.image}}
        else:
            code = {"Code": {"ZipFile": stub()}, "Handler": HANDLER}
        self.aws.settle(
            "lambda", "create_function", FunctionName=self.name, PackageType=self._package,
            Architectures=[self.settings.architecture], Tags=self.place.tags,
            **code, **self._configured(),
        )  # fmt: skip
        self.aws.wait("lambda", "function_active_v2", FunctionName=self.name)

    def _configured(self) -> dict[str, Any]:
        """Return what UpdateFunctionConfiguration can change, as it should be."""
        assert self.settings is not None
        layered = {"Layers": [self._layer()], "Runtime": self.settings.runtime}
        return {
            "Role": self.place.role_arn,
            "Timeout": self.settings.timeout,
            "MemorySize": self.settings.memory_mb,
            "EphemeralStorage": {"Size": self.settings.scratch_mb},
            "Environment": {"Variables": self.environment()},
            **({} if self.settings.image else layered),
        }

    def _layer(self) -> str:
        return Layer(self.aws, self.place, self.settings).arn or ""

    def environment(self) -> dict[str, str]:
        """Return the settings that the handler reads; the names are those of the older project."""
        reference = self.settings.reference if self.settings else ""
        found = {"BUCKET_RESULTS": self.place.bucket, "TABLE_NAME": self.place.stem}
        return found | ({"REFERENCE": reference} if reference else {})

    def aspects(self) -> Sequence[Aspect]:
        """Return how it should be."""
        if self.settings is None:
            return (Aspect("active", "Active", self._state, lambda: None),)
        image = self.settings.image
        configured = Aspect(
            "configuration", _plain(self._configured()),
            lambda: _plain(self._configuration()), self._configure,
        )  # fmt: skip
        failures = Aspect("dead letters", self._dead_letters(), self._failures, self._catch)
        if not image:
            return (configured, failures)
        return (Aspect("image", image, self._image, self._update), configured, failures)

    def _dead_letters(self) -> dict[str, Any]:
        """Return what becomes of events that fail: two more tries, then the queue."""
        queue = self.place.arn("sqs", self.place.queue)
        return {
            "MaximumRetryAttempts": 2,
            "DestinationConfig": {"OnFailure": {"Destination": queue}},
        }

    def _failures(self) -> dict[str, Any]:
        found = self.aws.find("lambda", "get_function_event_invoke_config", FunctionName=self.name)
        where = (found or {}).get("DestinationConfig", {}).get("OnFailure", {})
        return {
            "MaximumRetryAttempts": (found or {}).get("MaximumRetryAttempts"),
            "DestinationConfig": {"OnFailure": where},
        }

    def _catch(self) -> None:
        self.aws.settle(
            "lambda", "put_function_event_invoke_config", FunctionName=self.name,
            **self._dead_letters(),
        )  # fmt: skip

    def _described(self) -> dict[str, Any]:
        return self.aws.ask("lambda", "get_function", FunctionName=self.name)

    def _state(self) -> str:
        return str(self._described()["Configuration"].get("State", "Active"))

    def _image(self) -> str:
        return str(self._described()["Code"].get("ImageUri", ""))

    def _update(self) -> None:
        assert self.settings is not None
        self.aws.settle(
            "lambda", "update_function_code", FunctionName=self.name, ImageUri=self.settings.image
        )
        self.aws.wait("lambda", "function_updated_v2", FunctionName=self.name)

    def _configuration(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._described()["Configuration"]
        return found

    def _configure(self) -> None:
        configured = self._configured()
        self.aws.settle(
            "lambda", "update_function_configuration", FunctionName=self.name, **configured
        )
        self.aws.wait("lambda", "function_updated_v2", FunctionName=self.name)

    def remove(self) -> None:
        """Delete it."""
        self.aws.settle("lambda", "delete_function", FunctionName=self.name)


def _plain(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a configuration says, in the form in which it is set."""
    layers = configuration.get("Layers") or ()
    return {
        "role": configuration.get("Role"),
        "timeout": configuration.get("Timeout"),
        "memory": configuration.get("MemorySize"),
        "scratch": configuration.get("EphemeralStorage", {}).get("Size"),
        "runtime": configuration.get("Runtime"),
        "settings": configuration.get("Environment", {}).get("Variables"),
        "layers": [layer if isinstance(layer, str) else layer["Arn"] for layer in layers],
    }


def stub() -> bytes:
    """Return the code of a function whose handler lies in its layer: a zip of a note, always the
    same."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(
            zipfile.ZipInfo("README", _EPOCH), f"The handler, {HANDLER}, lies in the layer.\n"
        )
    return buffer.getvalue()
