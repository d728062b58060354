"""Checks that each parameter that the pipeline overrides is one of the template's, and that none is left without a value.

CloudFormation refuses an unknown one only when the change set is made: after the build, with the endpoints up.
"""
import json
import sys

from cfnlint.decode import cfn_yaml


def main():
    wrong = 0
    pipeline, _ = cfn_yaml.load("pipeline.yaml"), None
    for stage in pipeline["Resources"]["Pipeline"]["Properties"]["Stages"]:
        for action in stage["Actions"]:
            configuration = action.get("Configuration", {})
            if "TemplatePath" not in configuration:
                continue
            path = configuration["TemplatePath"].split("::")[1]
            given = json.loads(configuration.get("ParameterOverrides", "{}"))
            wanted = cfn_yaml.load(path).get("Parameters", {})
            for name in sorted(set(given) - set(wanted)):
                wrong += 1
                print(f"{stage['Name']}/{action['Name']}: {path} has no parameter {name}", file=sys.stderr)
            for name in sorted(n for n, p in wanted.items() if "Default" not in p and n not in given):
                wrong += 1
                print(f"{stage['Name']}/{action['Name']}: {name} of {path} has no value", file=sys.stderr)
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
