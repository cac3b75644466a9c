# An endpoint that executes a flow and responds with its outputs: `fastapi run fastapi_endpoint.py`.
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

from fastapi import FastAPI, HTTPException

from kestra import AsyncFlow
from kestra.exceptions import ExecutionTimeout

flow = AsyncFlow()  # one for the whole application: its connections are shared


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with flow:  # closes the connections when the application ends
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/reports/{day}")
async def report(day: date) -> dict[str, Any]:
    try:
        result = await flow.execute("company.team", "report", {"day": day}, timeout=60)
    except ExecutionTimeout as error:
        raise HTTPException(504, f"still running: {error.execution_id}") from None
    if not result.ok:
        raise HTTPException(502, result.error)
    return result.outputs or {}
