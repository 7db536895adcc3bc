"""What a person or a lab may set: MARROW_* in the environment, then <home>/marrow.toml."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Self

from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from sqlalchemy import URL

from marrow.addresses import database_address, require_broker
from marrow.errors import BadSettings
from marrow.schemes import first_fault

LOCAL_ROOT = "local"
STORE_ROOT = "store"


class Settings(BaseSettings):
    """Read once at the edge with `Settings.read`, then handed down."""

    model_config = SettingsConfigDict(env_prefix="MARROW_", extra="ignore", frozen=True)

    home: Path
    """Folder of the study."""
    database: SecretStr | None = None
    """See `database_address`; None: SQLite at <home>/catalogue.sqlite."""
    broker: SecretStr | None = None
    """redis:// or rediss:// URL of the lab's broker; None: the agent's own, if any."""
    store: Path | None = None
    """Folder of models and copied smears, shared by all hosts; None: <home>/store."""
    roots: dict[str, Path] = Field(default_factory=dict)
    """Root names and where this host sees them, as JSON: {"smears": "/mnt/smears"}."""
    reader: str = Field("", validate_default=True)
    """Name under which labels are stored; blank: the user's, as the system has it."""
    agent_idle_s: float = Field(600, gt=0)
    """The agent stops after so long without an unfinished job."""
    threads: int | None = Field(None, ge=1)
    """CPU threads of one worker; None: what torch chooses."""

    @field_validator("roots")
    @classmethod
    def _names(cls, roots: dict[str, Path]) -> dict[str, Path]:
        for name in roots:
            if name in {LOCAL_ROOT, STORE_ROOT, ""}:
                raise ValueError(f"{name!r} is a reserved name of a root")
        return {name: folder.expanduser().absolute() for name, folder in roots.items()}

    @field_validator("reader")
    @classmethod
    def _named(cls, reader: str) -> str:
        # Blind readers are stored stripped: another spelling would never open a smear.
        name = reader.strip() or os.environ.get("USER", "").strip() or "reader"
        if not name.isprintable():
            raise ValueError("must be a name without control characters")
        return name

    @field_validator("database")
    @classmethod
    def _readable(cls, database: SecretStr | None) -> SecretStr | None:
        if database is not None:
            database_address(database.get_secret_value())
        return database

    @field_validator("broker")
    @classmethod
    def _verified(cls, broker: SecretStr | None) -> SecretStr | None:
        if broker is not None:
            require_broker(broker.get_secret_value())
        return broker

    @field_validator("store")
    @classmethod
    def _absolute(cls, store: Path | None) -> Path | None:
        # The agent runs in another folder than the shell that sets it.
        return None if store is None else store.expanduser().absolute()

    @property
    def is_single_machine(self) -> bool:
        """Whether an agent of this home runs the broker and the worker."""
        return self.database is None and self.broker is None

    @property
    def database_url(self) -> str:
        """The URL with its password: never print it."""
        if self.database is not None:
            return self.database.get_secret_value()
        # Not an f-string: a ? in the folder's name would end the path there.
        file = URL.create("sqlite", database=str(self.home / "catalogue.sqlite"))
        return file.render_as_string(hide_password=False)

    @property
    def store_folder(self) -> Path:
        """Where models and copied smears lie."""
        return self.store if self.store is not None else self.home / "store"

    @property
    def agent_folder(self) -> Path:
        """Where the agent of this home keeps its lock, its broker's data and its logs."""
        return self.home / "agent"

    @classmethod
    def read(cls, home: Path | None = None) -> Self:
        """Settings of this process; `home` (from --home) wins over MARROW_HOME.

        Raises
        ------
        BadSettings
            With the name of the setting and what is wrong with it.
        """
        chosen = home or Path(os.environ.get("MARROW_HOME") or user_data_path("napari-marrow"))
        chosen = chosen.expanduser().absolute()
        toml = chosen / "marrow.toml"

        class _HomeSettings(cls):  # type: ignore[misc, valid-type]
            @classmethod
            def settings_customise_sources(
                cls,
                settings_cls: type[BaseSettings],
                init_settings: PydanticBaseSettingsSource,
                env_settings: PydanticBaseSettingsSource,
                dotenv_settings: PydanticBaseSettingsSource,
                file_secret_settings: PydanticBaseSettingsSource,
            ) -> tuple[PydanticBaseSettingsSource, ...]:
                return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml))

        try:
            return _HomeSettings(home=chosen)
        except ValidationError as error:
            raise BadSettings(f"MARROW_{first_fault(error)} (environment or {toml})") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadSettings(f"{toml}: no valid TOML ({error})") from error
        except OSError as error:
            raise BadSettings(f"{chosen} cannot be a home: {error.strerror}") from error
