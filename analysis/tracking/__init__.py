"""Runs from a tracking server or a folder, and results back to the server: the only room that knows MLflow."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from analysis.tracking.publish import (
        publish_accuracy as publish_accuracy,
        publish_study as publish_study,
        upload_report as upload_report,
    )
    from analysis.tracking.source import (
        RunRecord as RunRecord,
        SourceError as SourceError,
        cache_folder as cache_folder,
        from_folder as from_folder,
        from_tracking as from_tracking,
        search_runs as search_runs,
    )

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "publish": ["publish_study", "publish_accuracy", "upload_report"],
        "source": ["RunRecord", "SourceError", "cache_folder", "from_folder", "from_tracking", "search_runs"],
    },
)
