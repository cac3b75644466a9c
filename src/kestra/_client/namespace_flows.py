"""`namespace.flows`: the flows of a namespace, and how sources are deployed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kestra._client.namespace_base import Part
from kestra._rules import flows

if TYPE_CHECKING:
    import builtins  # of which a method below has a name
    import os
    from collections.abc import Iterable
    from pathlib import Path
    from typing import TypeAlias

    from kestra._api.namespaces import Change, FlowSource, Violation

    Paths: TypeAlias = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


class NamespaceFlows(Part):
    """The flows of a namespace.

    `validate` and `deploy` need PyYAML: `pip install 'kestra[namespace]'`. Neither uses the bulk
    routes of the server, which delete flows that are not sent.

    Besides what is said of each method, it raises an `APIError` where the server refuses, and a
    `FailedExponentialBackoff` where every attempt failed.
    """

    _name = "flows"

    def get(self, flow: str, *, revision: int | None = None) -> FlowSource:
        """Get a flow with its source, byte for byte.

        Args:
            flow: The id of the flow.
            revision: The revision, instead of the latest.

        Raises:
            NotFound: There is no such flow or revision.
            TypeError: The revision is not an integer.
            ValueError: The revision or the id cannot be one.
        """
        return self._perform(flows.get, flow, revision)

    def list(self) -> builtins.list[FlowSource]:
        """Get all flows by their ids, without their sources."""
        return self._perform(flows.listed)

    def revisions(self, flow: str) -> builtins.list[FlowSource]:
        """Get all revisions of a flow, with their sources; those of a deleted flow stay.

        Args:
            flow: The id of the flow.

        Raises:
            NotFound: There is no such flow.
            ValueError: The id cannot be one.
        """
        return self._perform(flows.revisions, flow)

    def validate(self, paths: Paths) -> builtins.list[Violation]:
        """Let the server check the sources of flows, of any namespace; nothing is changed.

        A server does not check expressions, and names a line only where the YAML is wrong.

        Args:
            paths: Files, or folders with YAML files below them. A file may hold several documents.

        Returns:
            What is wrong, in the order of the files; nothing if all can be deployed. Those with
            `is_warning` are no reason not to.

        Raises:
            OSError: A file cannot be read.
            TypeError: `paths` is neither a path nor several.
            ValueError: There are no documents, or a file is not UTF-8.
        """
        return self._perform(flows.validate, paths)

    def deploy(
        self,
        paths: Paths,
        *,
        dry_run: bool = False,
        delete: bool = False,
        override_namespace: bool = False,
    ) -> builtins.list[Change]:
        """Make flows of the namespace what the sources of files say.

        What the server has already is left alone, so that there are no needless revisions. Flows
        come before those that call them. It stops at the first failure, whose error says what was
        done before.

        Args:
            paths: Files, or folders with YAML files below them. A file may hold several documents.
            dry_run: Only return the changes.
            delete: Whether to delete the flows of the namespace that are not among the sources.
            override_namespace: Whether to deploy sources of another namespace, with this one
                written into them; else they are refused.

        Returns:
            What was done to each flow, with the difference and the new revision.

        Raises:
            InvalidInput: The server does not accept a source.
            OSError: A file cannot be read.
            TypeError: `paths` is neither a path nor several.
            ValueError: A source cannot be read, or is of another namespace; or two are of one flow.
        """
        return self._perform(
            flows.deploy, paths, dry_run=dry_run, delete=delete, override=override_namespace
        )

    def delete(self, flow: str) -> None:
        """Delete a flow. Its executions and revisions stay.

        Args:
            flow: The id of the flow.

        Raises:
            NotFound: There is no such flow.
            ValueError: The id cannot be one.
        """
        self._perform(flows.remove, flow)

    def enable(self, flow: str) -> None:
        """Let a flow be executed again. The server rewrites its source: a new revision.

        Args:
            flow: The id of the flow.

        Raises:
            NotFound: There is no such flow.
        """
        self._perform(flows.switch, flow, on=True)

    def disable(self, flow: str) -> None:
        """Let a flow be executed no more. The server writes `disabled: true` into its source.

        Args:
            flow: The id of the flow.

        Raises:
            NotFound: There is no such flow.
        """
        self._perform(flows.switch, flow, on=False)

    def export(self, to: str | os.PathLike[str]) -> builtins.list[Path]:
        """Write the source of each flow, byte for byte, to a file `<id>.yml` of a folder.

        Args:
            to: The folder, which is made where it is missing. Files of these names are replaced.

        Returns:
            The paths of the files.

        Raises:
            OSError: A file cannot be written.
        """
        return self._perform(flows.export, to)
