"""RAM documents: what they allow, and the traps in them."""

import doctest
import inspect
import json
import re

import pytest

from imgprep.cloud import imagesearch
from imgprep.cloud.imagesearch import ACTIONS
from imgprep.core.errors import ConfigError
from imgprep.core.settings import Settings
from imgprep.ship import access
from imgprep.ship.access import (
    bucket_problems,
    console_steps,
    documents,
    evaluate,
    explain,
    object_resource,
    path_problems,
    role_arn_problems,
    role_policy,
    trust_policy,
    trusts,
    uploader_policy,
)

META = object_resource("shop", "increment/increment.meta")


def policy(*statements):
    return {"Version": "1", "Statement": list(statements)}


def allow(resource, action="oss:GetObject", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


@pytest.mark.parametrize("path", ["/increment", "increment", "/increment/"])
def test_the_roles_policy_covers_the_folder_however_the_path_is_written(path):
    assert evaluate(role_policy("shop", path), "oss:GetObject", META)
    assert "//" not in json.dumps(role_policy("shop", path))


def test_the_roles_policy_covers_nothing_else():
    made = role_policy("shop", "/increment")
    assert not evaluate(made, "oss:PutObject", META)
    assert not evaluate(made, "oss:GetObject", object_resource("shop", "increment2/a.jpg"))
    assert not evaluate(made, "oss:GetObject", object_resource("shop2", "increment/a.jpg"))


def test_the_uploader_may_put_read_back_and_list_but_not_delete():
    made = uploader_policy("shop", "/increment")
    assert evaluate(made, "oss:PutObject", META)
    assert evaluate(made, "oss:GetObject", META)
    assert evaluate(made, "oss:ListObjects", "acs:oss:*:*:shop")
    assert not evaluate(made, "oss:DeleteObject", META)
    assert not evaluate(made, "oss:PutObject", object_resource("shop", "other/a.jpg"))


def test_the_uploader_may_call_the_operations_that_imgprep_calls_and_no_others():
    called = re.findall(r'self\._(?:call|read)\(\s*"(\w+)"', inspect.getsource(imagesearch))
    assert set(called) == set(ACTIONS)
    made = uploader_policy("shop", "/increment")
    assert all(evaluate(made, f"imagesearch:{action}", "*") for action in ACTIONS)
    assert not evaluate(made, "imagesearch:DeleteImage", "*")
    assert "FullAccess" not in console_steps(Settings(bucket="shop", path="/increment"))


def test_a_deny_wins_in_any_position():
    grant, deny = allow("*", "*"), {"Effect": "Deny", "Action": "oss:Get*", "Resource": "acs:oss:*:*:shop/increment/*"}
    for statements, number in (((grant, deny), 2), ((deny, grant), 1)):
        decision = evaluate(policy(*statements), "oss:GetObject", META)
        assert not decision
        assert decision.statement == number
    assert evaluate([policy(grant), policy(deny)], "oss:GetObject", META).statement == 2


@pytest.mark.parametrize(
    ("pattern", "covers"),
    [
        ("*", True),
        ("acs:oss:*:*:shop/*", True),
        ("acs:oss:*:*:sh?p/increment/*.meta", True),
        ("acs:oss:*:*:shop/increment/", False),
        ("acs:oss:*:*:shop/increment/?", False),
        ("acs:oss:*:*:SHOP/*", False),
        ("acs:oss:*:*:shop/increment/increment.met[a]", False),
        ("acs:oss:*:*:shop/increment/increment?meta", True),
    ],
)
def test_only_the_wildcards_of_ram_match(pattern, covers):
    assert bool(evaluate(policy(allow(pattern)), "oss:GetObject", META)) is covers


def test_a_condition_never_grants_access():
    condition = {"IpAddress": {"acs:SourceIp": "10.0.0.0/8"}}
    decision = evaluate(policy(allow("*", Condition=condition)), "oss:GetObject", META)
    assert not decision
    assert "condition" in decision.reason
    denying = {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition}
    assert evaluate(policy(allow("*"), denying), "oss:GetObject", META).statement == 2


def test_not_action_and_not_resource():
    assert evaluate(policy({"Effect": "Allow", "NotAction": "oss:Put*", "Resource": "*"}), "oss:GetObject", META)
    assert not evaluate(policy({"Effect": "Allow", "NotAction": "oss:Get*", "Resource": "*"}), "oss:GetObject", META)
    keep_out = {"Effect": "Deny", "Action": "*", "NotResource": "acs:oss:*:*:shop/increment/*"}
    assert evaluate(policy(allow("*"), keep_out), "oss:GetObject", META)
    assert not evaluate(policy(allow("*"), keep_out), "oss:GetObject", object_resource("shop", "x"))


def test_a_pattern_of_many_stars_does_not_hang():
    assert not evaluate(policy(allow("*a" * 200 + "b")), "oss:GetObject", "a" * 500)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"Statement": "x"}', '{"Statement": [1]}'])
def test_text_that_is_not_a_policy_is_refused_with_a_remedy(text):
    with pytest.raises(ConfigError, match="paste the whole document"):
        evaluate(text, "oss:GetObject", META)


@pytest.mark.parametrize(
    ("resource", "word"),
    [
        ("acs:oss:*:*:shop//increment/*", "double slash"),
        ("acs:oss:*:*:${bucket}/${path}/*", "placeholders"),
        ("acs:oss:*:*:shop/increment", "not the objects in it"),
        ("acs:oss:*:*:shop", "not the objects in it"),
        ("shop/increment/*", "not an OSS resource"),
    ],
)
def test_near_misses_are_named_with_what_to_write(resource, word):
    text = explain(policy(allow(resource)), "shop", "/increment")
    assert word in text
    assert text.endswith('use "acs:oss:*:*:shop/increment/*"')


def test_explain_of_a_right_policy_is_one_line():
    assert explain(role_policy("shop", "/increment"), "shop", "/increment").startswith("statement 1 allows")
    assert explain(role_policy("shop", "/"), "shop", "/").startswith("statement 1 allows")


def test_only_the_service_may_assume_the_role():
    assert trusts(trust_policy())
    assert not trusts(trust_policy(), "ecs.aliyuncs.com")
    other = policy({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"RAM": ["acs:ram::1:root"]}})
    assert not trusts(other)
    denying = policy(*trust_policy()["Statement"], {**trust_policy()["Statement"][0], "Effect": "Deny"})
    assert trusts(denying).statement == 2


def test_console_steps_contain_the_guides_terms_and_the_form_values():
    settings = Settings(
        bucket="shop", path="/increment", instance="mine", region="cn-shanghai", role_arn="acs:ram::12:role/reader"
    )
    steps = console_steps(settings)
    for words in (
        "RAM Roles > Create RAM Role",
        "Alibaba Cloud Service",
        "Normal Service Role",
        "Image Search",
        "Script",
        "Add Permissions",
        "Batch Operation > Create Batch Task",
        "acs:ram::12:role/reader",
        "Path: /increment",
        "cn-shanghai",
    ):
        assert words in steps
    assert "//increment" not in steps.replace("oss://", "")
    for document in documents(settings).values():
        assert json.dumps(document, indent=2).splitlines()[-2].strip() in steps


def test_documents_without_a_bucket_name_where_to_set_it():
    with pytest.raises(ConfigError, match="bucket under"):
        documents(Settings(path="/increment"))


@pytest.mark.parametrize("name", ["ab", "a" * 64, "-abc", "abc-", "Abc", "a_b", "a.b.c", "中文桶", ""])
def test_bucket_names_that_oss_refuses(name):
    assert bucket_problems(name)


@pytest.mark.parametrize("name", ["abc", "a" * 63, "1-2", "imagesearch-increment"])
def test_bucket_names_that_oss_takes(name):
    assert not bucket_problems(name)


@pytest.mark.parametrize("path", ["", "a", "a/", "/a/", "/a//b", "/a/../b", "\\a", "/a*", "/" + "a" * 1020])
def test_paths_that_a_task_cannot_have(path):
    assert path_problems(path)


@pytest.mark.parametrize("path", ["/", "/increment", "/a/b c/中文"])
def test_paths_that_a_task_can_have(path):
    assert not path_problems(path)


@pytest.mark.parametrize(
    "arn", ["", "arn:aws:iam::1:role/x", "acs:ram::abc:role/x", "acs:ram::12:role/", "acs:ram::12:role/a b"]
)
def test_arns_of_other_things_are_refused(arn):
    assert role_arn_problems(arn)


def test_examples_in_the_docstrings_hold():
    assert doctest.testmod(access).failed == 0
