# Executes a flow for each day of a month, fifty at a time, from an event loop.
import asyncio
from datetime import date, timedelta

from kestra import AsyncFlow, ExecutionRequest

first = date(2026, 1, 1)
days = [first + timedelta(days=number) for number in range(31)]


async def main() -> None:
    requests = (ExecutionRequest("company.team", "report", {"day": day}) for day in days)
    async with AsyncFlow() as flow:
        async for outcome in flow.execute_all(requests, max_concurrent=50, timeout=600):
            day = (outcome.request.inputs or {})["day"]
            print(day, outcome.error or (outcome.result and outcome.result.status))


asyncio.run(main())
