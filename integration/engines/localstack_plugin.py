"""What localstack-core needs to run the conformance cases without containers: functions that are
scripts of this process, and JSONata by a Python library instead of a Java one. It is found by the
entry points that localstack.py writes."""

import json
import os
from pathlib import Path

import script
from localstack.aws.api.lambda_ import LambdaApi, ResourceNotFoundException
from localstack.runtime import hooks
from localstack.services.plugins import Service, aws_provider

# One file per function, with its environment.
FUNCTIONS = "CONFORMANCE_FUNCTIONS"


class ScriptedLambda(LambdaApi):
    """Invokes functions; nothing else."""

    def invoke(self, context, function_name, payload=None, **_more):
        """Answers as the Invoke API does; an error of the function has its header."""
        name = function_name.rsplit(":function:", 1)[-1].split(":")[0]
        place = Path(os.environ[FUNCTIONS]) / f"{name}.json"
        if not place.exists():
            raise ResourceNotFoundException(f"Function not found: {name}")
        event = json.loads(payload.read() or b"{}") if payload else {}
        answer, error = script.invoke(json.loads(place.read_text()), event)
        response = {
            "StatusCode": 200,
            "ExecutedVersion": "$LATEST",
            "Payload": json.dumps(error or answer).encode(),
        }
        return {**response, "FunctionError": "Unhandled"} if error else response


@aws_provider(api="lambda", name="external")
def external():
    """The provider of the Lambda API."""
    return Service.for_provider(ScriptedLambda())


@hooks.on_infra_start()
def jsonata_hook():
    """Has JSONata evaluated in this process."""
    from jsonata import Jsonata
    from localstack.services.stepfunctions.asl.jsonata import jsonata as module

    module._eval_jsonata = lambda expression: Jsonata(expression).evaluate(None)
