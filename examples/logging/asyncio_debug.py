# The debug mode of asyncio: what it has to say about slow, lost and failed tasks.
import asyncio
import gc
import logging

from kestra import Kestra

Kestra.configure_logging(logging.DEBUG)


async def fail() -> None:
    raise ValueError("nobody awaits me")


async def main() -> None:
    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    del task
    gc.collect()
    forgotten = fail()
    del forgotten  # not awaited
    logging.getLogger("orders").info("main is done")


asyncio.run(main(), debug=True)
