"""The sandbox's own evaluation of RAM documents."""

import json

import pytest

from imgprep.sandbox.access import READ, Role, folder_policy, object_names

TRUST = {
    "Version": "1",
    "Statement": [
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": ["imagesearch.aliyuncs.com"]}}
    ],
}


def policy(*resources, effect="Allow", action="oss:GetObject", **more):
    return {
        "Version": "1",
        "Statement": [{"Effect": effect, "Action": [action], "Resource": list(resources), **more}],
    }


def may_read(key, *policies, bucket="shop"):
    return Role.of(*policies).allows(READ, *object_names(bucket, key, "cn-shanghai", "123"))


def test_the_guides_policy_with_its_own_path_covers_nothing():
    # The guide puts "/increment" where its pattern already has a slash.
    assert not may_read("increment/a.jpg", policy("acs:oss:*:*:shop//increment/*"))
    assert may_read("increment/a.jpg", policy("acs:oss:*:*:shop/increment/*"))


@pytest.mark.parametrize("folder", ["/increment", "increment", "increment/", "/increment/"])
def test_the_default_policy_covers_the_folder_and_nothing_beside_it(folder):
    document = folder_policy("shop", folder)
    assert may_read("increment/sub/a.jpg", document)
    assert not may_read("increment2/a.jpg", document)
    assert not may_read("increment/a.jpg", document, bucket="other")


@pytest.mark.parametrize(
    ("resource", "covers"),
    [
        ("*", True),
        ("acs:oss:*:*:*", True),
        ("acs:oss:oss-cn-shanghai:123:shop/*", True),
        ("acs:oss:cn-shanghai:123:shop/*", True),
        ("acs:oss:cn-beijing:*:shop/*", False),
        ("acs:oss:*:456:shop/*", False),
        ("acs:oss:*:*:shop", False),
        ("acs:oss:*:*:shop/increment/?.jpg", True),
        ("acs:oss:*:*:shop/increment/[a].jpg", False),
        ("acs:oss:*:*:Shop/*", False),
        ("acs:ecs:*:*:shop/*", False),
    ],
)
def test_resources_match_segment_by_segment(resource, covers):
    assert may_read("increment/a.jpg", policy(resource)) is covers


def test_a_key_may_contain_colons_and_pattern_characters():
    assert may_read("a:b/c+[1].jpg", policy("acs:oss:*:*:shop/a:b/*"))


@pytest.mark.parametrize(
    ("action", "covers"),
    [("oss:*", True), ("oss:Get*", True), ("OSS:getobject", True), ("*", True), ("oss:PutObject", False)],
)
def test_actions_match_without_case(action, covers):
    assert may_read("a.jpg", policy("*", action=action)) is covers


def test_a_deny_wins_over_every_allow():
    assert not may_read("secret/a.jpg", policy("*"), policy("acs:oss:*:*:shop/secret/*", effect="Deny"))
    assert may_read("open/a.jpg", policy("*"), policy("acs:oss:*:*:shop/secret/*", effect="Deny"))


def test_a_condition_grants_nothing_and_still_denies():
    condition = {"IpAddress": {"acs:SourceIp": ["10.0.0.0/8"]}}
    assert not may_read("a.jpg", policy("*", Condition=condition))
    assert not may_read("a.jpg", policy("*"), policy("*", effect="Deny", Condition=condition))


def test_not_action_and_not_resource_name_all_others():
    rest = {"Version": "1", "Statement": {"Effect": "Allow", "NotAction": "oss:Put*", "NotResource": "acs:oss:*:*:x/*"}}
    assert may_read("a.jpg", rest)
    assert not may_read("a.jpg", rest, bucket="x")


def test_a_role_is_assumed_only_by_a_service_that_it_trusts():
    assert Role.of().trusts()
    assert Role.of(trust=TRUST).trusts()
    assert Role.of(trust=json.dumps(TRUST)).trusts()
    assert not Role.of(trust=json.loads(json.dumps(TRUST).replace("imagesearch", "ecs"))).trusts()
    assert not Role.of(trust=json.loads(json.dumps(TRUST).replace("Allow", "Deny"))).trusts()


@pytest.mark.parametrize(
    ("document", "part"),
    [
        ("{", "is not valid JSON"),
        ({"Version": "2012-10-17", "Statement": []}, "Version"),
        ({"Version": "1", "Statement": []}, "Statement"),
        ({"Version": "1", "Statement": [1]}, "is not an object"),
        (policy("*", effect="allow"), "Effect"),
        (policy(), "Resource"),
        ({"Version": "1", "Statement": [{"Effect": "Allow", "Resource": "*"}]}, "Action"),
    ],
)
def test_a_document_that_ram_would_not_save_is_refused(document, part):
    with pytest.raises(ValueError, match=part):
        Role.of(document)
