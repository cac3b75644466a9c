"""The examples and the logging recipes, run by the engine: their own tests, once more."""

import pytest
import test_examples
import test_logging_recipes
from test_examples import (
    test_api_key,
    test_commands_task,
    test_continue_trace,
    test_end_early,
    test_export_value,
    test_hello_world,
    test_image,
    test_log_levels,
    test_metrics,
    test_odd_even,
    test_old_python,
    test_orders,
    test_output_files,
    test_outputs,
    test_outputs_are_read_by_the_flow,
    test_pip_dependency,
    test_read_request_1_3,
    test_read_step_data,
    test_read_step_data_without_a_server,
    test_respond,
    test_retry_and_delay,
    test_script_task,
    test_send_file,
    test_sensor,
    test_the_flow_that_is_executed,
    test_the_script_for_an_old_python_runs_there,
    test_tmp_files,
    test_uv_packages,
    test_without_package,
    test_without_package_refuses_what_is_nested_too_deep,
    test_xcom,
    web,
)
from test_logging_recipes import (
    test_asyncio,
    test_dict_config,
    test_file_config,
    test_library_that_configures,
    test_loguru,
    test_multiprocessing,
    test_plain_logging,
    test_plain_logging_in_detail,
    test_queue_listener,
    test_structlog,
    test_tqdm,
)

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("processes_in_the_engine")]

RUNNING = {"Execution", "recipe", "run", "run_script"}  # what runs a script


def test_all_are_here():
    """No test that runs an example, or a recipe, is missing."""
    tests = {**vars(test_examples), **vars(test_logging_recipes)}
    running = {
        name
        for name, test in tests.items()
        if name.startswith("test_") and RUNNING.intersection(test.__code__.co_names)
    }
    # Their scripts are not tasks: one is tests, the other a server.
    assert running - set(globals()) == {"test_caplog", "test_fastapi_endpoint"}
