"""The role of the function, with its policy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bams3.cloud.policy import TRUST, policy
from bams3.cloud.resource import Aspect, Resource, mapping, pairs

_POLICY = "calls"


class Role(Resource):
    """The role."""

    kind = "role"

    @property
    def name(self) -> str:
        """Its name."""
        return self.place.role

    def exists(self) -> bool:
        """Whether it is there."""
        if self.aws.find("iam", "get_role", RoleName=self.name) is None:
            return False
        tags = self.aws.ask("iam", "list_role_tags", RoleName=self.name)
        return self.check_owner(mapping(tags.get("Tags", ())))

    def create(self) -> None:
        """Create it."""
        self.aws.ask(
            "iam", "create_role", RoleName=self.name, AssumeRolePolicyDocument=json.dumps(TRUST),
            Description=f"bams3 {self.place.name}: calls variants", Tags=pairs(self.place.tags),
        )  # fmt: skip

    def aspects(self) -> Sequence[Aspect]:
        """Return how it should be."""
        if self.settings is None:
            return ()
        wanted = policy(self.place, self.settings)
        return (
            Aspect(
                "policy", wanted, self._policy,
                lambda: self.aws.ask(
                    "iam", "put_role_policy", RoleName=self.name, PolicyName=_POLICY,
                    PolicyDocument=json.dumps(wanted),
                ),
            ),
        )  # fmt: skip

    def _policy(self) -> Any:
        found = self.aws.find("iam", "get_role_policy", RoleName=self.name, PolicyName=_POLICY)
        return found["PolicyDocument"] if found else None

    def remove(self) -> None:
        """Delete it with its policies."""
        where = {"RoleName": self.name}
        for name in [*self.aws.pages("iam", "list_role_policies", "PolicyNames", **where)]:
            self.aws.ask("iam", "delete_role_policy", PolicyName=name, **where)
        attached = self.aws.pages("iam", "list_attached_role_policies", "AttachedPolicies", **where)
        for entry in [*attached]:
            self.aws.ask("iam", "detach_role_policy", PolicyArn=entry["PolicyArn"], **where)
        self.aws.ask("iam", "delete_role", **where)
