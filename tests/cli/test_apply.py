#!/usr/bin/env python3
"""lstream apply: a store becomes what a file says: once, twice, after being killed, and is taken down again.

    test_apply.py LSTREAM JSON [unittest options]        JSON is `true` when the tool can read JSON
"""

import fcntl
import json
import os
import random
import re
import subprocess
import sys
import time
import unittest

from store import LSTREAM, Store, content

CAN_READ = sys.argv.pop(1) == "true"
EXAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "clicks.json")

STREAM = {"StreamName": "s"}
MAPPING = {"StreamName": "s", "FunctionName": "m", "StartingPosition": "TRIM_HORIZON"}
DELIVERY = {"StreamName": "s", "DeliveryStreamName": "d", "StartingPosition": "LATEST"}
ALERT = {"StreamName": "s", "AlarmName": "a", "Field": "price", "ComparisonOperator": "GreaterThanThreshold",
         "Threshold": 99}


class Apply(Store):
    def write(self, template):
        path = os.path.join(self.folder, "template.json")
        with open(path, "w") as file:
            file.write(template if isinstance(template, str) else json.dumps(template, indent=1))
        return path

    def apply(self, template, *arguments, expect=0):
        """What became of each: {(kind, stream[, name]): result}."""
        done = self.run_tool("apply", self.write(template), "--json", *arguments, expect=expect)
        if expect != 0:
            return done
        return {tuple(a[k] for k in ("kind", "stream", "name") if k in a): a["result"]
                for a in json.loads(done.out)["applied"]}

    def look(self, *arguments):
        return json.loads(self.run_tool(*arguments, "--json").out)

    def files(self):
        """What is stored; the control file is what processes share while they live."""
        return {path: content(path) for folder, _, names in os.walk(self.store)
                for path in (os.path.join(folder, name) for name in names) if not path.endswith("/control")}


@unittest.skipUnless(CAN_READ, "built without JSON")
class Made(Apply):
    def test_applied_twice_it_changes_nothing_not_a_byte(self):
        template = {"Streams": [STREAM, {"StreamName": "t", "ShardCount": 3}], "Mappings": [MAPPING],
                    "Deliveries": [{**DELIVERY, "Directory": "out"}], "Alerts": [ALERT]}
        things = [("stream", "s"), ("stream", "t"), ("mapping", "s", "m"), ("delivery", "s", "d"), ("alert", "s", "a")]
        self.assertEqual(self.apply(template), {thing: "created" for thing in things})
        before = self.files()
        self.assertEqual(self.apply(template), {thing: "unchanged" for thing in things})
        self.assertEqual(self.files(), before)

    def test_every_field_of_a_stream_arrives_and_is_updated(self):
        full = {"StreamName": "s", "ShardCount": 2, "StreamModeDetails": {"StreamMode": "PROVISIONED"},
                "RetentionPeriodHours": 48, "RetentionBytes": 1 << 30, "MaxRecordSizeInKiB": 2048,
                "Compression": "ZSTD", "WriteBytesPerSecond": 2048, "WriteRecordsPerSecond": 7,
                "ReadBytesPerSecond": 4096, "ReadCallsPerSecond": 3, "Tags": [{"Key": "team", "Value": "a"}],
                "Consumers": ["fast"]}
        other = {**full, "ShardCount": 3, "StreamModeDetails": {"StreamMode": "ON_DEMAND"}, "RetentionPeriodHours": 24,
                 "RetentionBytes": 0, "MaxRecordSizeInKiB": 1024, "Compression": "NONE", "WriteRecordsPerSecond": 8,
                 "Tags": [{"Key": "team", "Value": "b"}], "Consumers": ["fast", "slow"]}
        self.assertEqual(self.apply({"Streams": [full]}), {("stream", "s"): "created"})
        self.assertEqual(self.apply({"Streams": [full]}), {("stream", "s"): "unchanged"})
        is_ = self.look("describe", "s")
        self.assertEqual(sum(s["open"] for s in is_["shards"]), 2)
        self.assertEqual((is_["mode"], is_["retention_hours"], is_["retention_bytes"], is_["record_bytes_max"],
                          is_["compression"]), ("provisioned", 48, 1 << 30, 2 << 20, "zstd"))
        self.assertEqual(self.look("consumers", "list", "s")["consumers"][0]["name"], "fast")
        # One field after the other: each is a change of its own, and arrives.
        now = dict(full)
        for field in other:
            if other[field] != full[field]:
                now[field] = other[field]
                self.assertEqual(self.apply({"Streams": [now]}), {("stream", "s"): "updated"}, field)
        self.assertEqual(self.apply({"Streams": [now]}), {("stream", "s"): "unchanged"})
        is_ = self.look("describe", "s")
        self.assertEqual(sum(s["open"] for s in is_["shards"]), 3)
        self.assertEqual((is_["mode"], is_["retention_hours"], is_["retention_bytes"], is_["record_bytes_max"],
                          is_["compression"]), ("on-demand", 24, None, 1 << 20, "none"))
        # What is not said stays.
        self.assertEqual(self.apply({"Streams": [STREAM]}), {("stream", "s"): "unchanged"})

    def test_every_field_of_a_mapping_arrives_and_is_updated(self):
        full = {**MAPPING, "Enabled": False, "BatchSize": 10, "MaximumBatchBytes": 1000,
                "MaximumBatchingWindowInSeconds": 2, "ParallelizationFactor": 3, "MaximumRetryAttempts": 4,
                "MaximumRecordAgeInSeconds": 600, "BisectBatchOnFunctionError": True,
                "FunctionResponseTypes": ["ReportBatchItemFailures"], "DiscardFailedOnly": True,
                "FilterCriteria": {"Filters": [{"Pattern": '{"partitionKey": ["a"]}'}]},
                "DestinationConfig": {"OnFailure": {"Destination": "failures"}}, "ConsumerName": "fast",
                "HandlerTimeoutMilliseconds": 5000, "SyncIntervalMilliseconds": 50, "DocumentBytes": True}
        streams = [{"StreamName": "s", "Consumers": ["fast", "slow"]}, {"StreamName": "failures"}]
        self.assertEqual(self.apply({"Streams": streams, "Mappings": [full]})[("mapping", "s", "m")], "created")
        self.assertEqual(self.apply({"Mappings": [full]}), {("mapping", "s", "m"): "unchanged"})
        is_ = self.look("mapping", "describe", "s", "m")
        wanted = {"status": "disabled", "batch": 10, "batch_bytes": 1000, "window_ms": 2000, "lanes": 3, "retries": 4,
                  "record_age_s": 600, "bisect": True, "report_failures": True, "failures": "failures",
                  "consumer": "fast", "timeout_ms": 5000, "filters": ['{"partitionKey": ["a"]}'],
                  "from": "trim-horizon", "exactly_once": False}
        self.assertEqual({k: is_[k] for k in wanted}, wanted)
        now = dict(full)
        for field, value in [
                ("Enabled", True), ("BatchSize", 11), ("MaximumBatchBytes", 2000),
                ("MaximumBatchingWindowInSeconds", 0), ("ParallelizationFactor", 1), ("MaximumRetryAttempts", 0),
                ("MaximumRecordAgeInSeconds", -1), ("BisectBatchOnFunctionError", False), ("DiscardFailedOnly", False),
                ("FunctionResponseTypes", []), ("FilterCriteria", {"Filters": []}), ("ConsumerName", "slow"),
                ("HandlerTimeoutMilliseconds", -1), ("SyncIntervalMilliseconds", 60), ("DocumentBytes", False),
                ("DeAggregate", True),
                ("ExactlyOnce", True), ("TumblingWindowInSeconds", 3), ("WindowStateBytes", 1 << 16),
                ("MaximumRetryAttempts", -1)]:
            now[field] = value
            self.assertEqual(self.apply({"Mappings": [now]}), {("mapping", "s", "m"): "updated"}, field)
        self.assertEqual(self.apply({"Mappings": [now]}), {("mapping", "s", "m"): "unchanged"})
        is_ = self.look("mapping", "describe", "s", "m")
        wanted = {"status": "enabled", "batch": 11, "lanes": 1, "retries": None, "record_age_s": None, "bisect": False,
                  "report_failures": False, "filters": [], "consumer": "slow", "timeout_ms": None, "tumbling_s": 3,
                  "exactly_once": True, "failures": "failures"}
        self.assertEqual({k: is_[k] for k in wanted}, wanted)
        self.assertEqual(self.apply({"Mappings": [MAPPING]}), {("mapping", "s", "m"): "unchanged"})

    def test_every_field_of_an_alert_arrives_and_is_updated(self):
        full = {"StreamName": "s", "AlarmName": "a", "MetricName": "libstream_put_records_total", "Rate": True,
                "Dimensions": [{"Name": "stream", "Value": "s"}], "ComparisonOperator": "LessThanOrEqualToThreshold",
                "Threshold": 0.5, "DatapointsToAlarm": 2, "PeriodMilliseconds": 1000, "CooldownMilliseconds": 3,
                "ObservedMinimum": 4}
        self.apply({"Streams": [STREAM], "Alerts": [full]})
        self.assertEqual(self.apply({"Alerts": [full]}), {("alert", "s", "a"): "unchanged"})
        is_ = self.look("alert", "describe", "s", "a")
        wanted = {"metric": "libstream_put_records_total", "labels": {"stream": "s"}, "rate": True, "comparison": "<=",
                  "threshold": 0.5, "count": 2, "window_ms": 1000, "cooldown_ms": 3, "observed_min": 4}
        self.assertEqual({k: is_[k] for k in wanted}, wanted)
        now = dict(full)
        for field, value in [("Threshold", 1), ("ComparisonOperator", "EqualToThreshold"), ("Rate", False),
                             ("Dimensions", []), ("DatapointsToAlarm", 1), ("PeriodMilliseconds", 5),
                             ("CooldownMilliseconds", 0), ("ObservedMinimum", 5), ("MetricName", "other_total")]:
            now[field] = value
            self.assertEqual(self.apply({"Alerts": [now]}), {("alert", "s", "a"): "updated"}, field)
        self.assertEqual(self.apply({"Alerts": [now]}), {("alert", "s", "a"): "unchanged"})
        field = {"StreamName": "s", "AlarmName": "a", "Field": "door", "ComparisonOperator": "NotEqualToThreshold",
                 "Threshold": "open"}
        self.assertEqual(self.apply({"Alerts": [field]}), {("alert", "s", "a"): "updated"})
        is_ = self.look("alert", "describe", "s", "a")
        self.assertEqual((is_["field"], is_["comparison"], is_["threshold"], is_["observed_min"]),
                         ("door", "!=", "open", 5))

    def test_every_field_of_a_delivery_arrives_and_is_updated(self):
        def processing(*processors):
            return {"Enabled": True, "Processors": [
                {"Type": type_,
                 "Parameters": [{"ParameterName": n, "ParameterValue": v} for n, v in parameters.items()]}
                for type_, parameters in processors]}

        out = os.path.join(self.folder, "out")
        # Braces, commas and quotes within queries end none of them.
        query = '{ customer: .id , "year": .at | strftime("%Y,}") }'
        full = {**DELIVERY, "Directory": out, "BufferingHints": {"SizeInMBs": 3, "IntervalInSeconds": 60},
                "Prefix": "!{partitionKeyFromQuery:customer}/!{partitionKeyFromQuery:year}/",
                "ErrorOutputPrefix": "err/!{firehose:error-output-type}/", "FileExtension": ".json",
                "DynamicPartitioningConfiguration": {"Enabled": True, "ActivePartitionsMaximum": 7},
                "ProcessingConfiguration": processing(
                    ("Lambda", {"LambdaArn": "f", "RoleArn": "r", "NumberOfRetries": "5", "BufferSizeInMBs": "0.5",
                                "BufferIntervalInSeconds": "0"}),
                    ("AppendDelimiterToRecord", {"Delimiter": "\\n"}),
                    ("MetadataExtraction", {"MetadataExtractionQuery": query, "JsonParsingEngine": "JQ-1.6"}))}
        thing = ("delivery", "s", "d")
        self.assertEqual(self.apply({"Streams": [STREAM], "Deliveries": [full]})[thing], "created")
        self.assertEqual(self.apply({"Deliveries": [full]}), {thing: "unchanged"})
        self.assertFalse(os.path.exists(out))  # It is made when objects come.
        now = dict(full)
        for field, value in [
                ("BufferingHints", {"SizeInMBs": 4}), ("BufferingHints", {"IntervalInSeconds": 0}),
                ("Directory", out + "2"), ("ErrorOutputPrefix", "errors/"),
                ("FileExtension", ".txt"), ("FileExtension", ""),
                ("DynamicPartitioningConfiguration", {"Enabled": True, "ActivePartitionsMaximum": 8}),
                ("ProcessingConfiguration", processing(
                    ("Lambda", {"NumberOfRetries": "0"}),
                    ("MetadataExtraction", {"MetadataExtractionQuery": "{customer:.id,year:.y}"}))),
                ("S3BackupMode", "Enabled"), ("S3BackupConfiguration", {"Prefix": "raw/"}),
                ("S3BackupConfiguration", {"Prefix": "raw/", "BufferingHints": {"SizeInMBs": 9}}),
                ("S3BackupConfiguration", {"Prefix": "raw/", "BufferingHints": {"IntervalInSeconds": 0}})]:
            now[field] = value
            self.assertEqual(self.apply({"Deliveries": [now]}), {thing: "updated"}, field)
        self.assertEqual(self.apply({"Deliveries": [now]}), {thing: "unchanged"})
        before = self.files()
        self.assertIn("S3BackupMode: it cannot be changed",
                      self.apply({"Deliveries": [{**now, "S3BackupMode": "Disabled"}]}, expect=2).err)
        self.assertEqual(self.files(), before)
        plain = {**DELIVERY, "DynamicPartitioningConfiguration": {"Enabled": False}, "Prefix": "", "ToCallback": True,
                 "ErrorOutputPrefix": "", "ProcessingConfiguration": {"Enabled": False}}
        self.assertEqual(self.apply({"Deliveries": [plain]}), {thing: "updated"})
        self.assertEqual(self.apply({"Deliveries": [plain]}), {thing: "unchanged"})
        self.assertEqual(self.apply({"Deliveries": [DELIVERY]}), {thing: "unchanged"})
        self.assertEqual(self.apply({"Deliveries": [plain]}, "--delete"), {thing: "deleted"})

    def test_how_records_are_split_is_declared_once(self):
        def splits(*parameters):
            return {**DELIVERY, "ProcessingConfiguration": {"Enabled": True, "Processors": [
                {"Type": "RecordDeAggregation", "Parameters": [
                    {"ParameterName": name, "ParameterValue": value} for name, value in parameters]}]}}

        thing = ("delivery", "s", "d")
        out = os.path.join(self.folder, "out")
        wanted = {**splits(("Delimiter", "IyMjIw=="), ("SubRecordType", "DELIMITED")), "Directory": out}
        self.assertEqual(self.apply({"Streams": [STREAM], "Deliveries": [wanted]})[thing], "created")
        self.assertEqual(self.apply({"Deliveries": [wanted]}), {thing: "unchanged"})
        self.assertEqual(json.loads(self.run_tool("delivery", "describe", "s", "d", "--json").out)["split"], "####")
        for other in (splits(("SubRecordType", "JSON")), splits(("SubRecordType", "JSON"), ("Delimiter", "IyMjIw=="))):
            self.apply({"Deliveries": [{**other, "Directory": out}]}, expect=2)
        self.apply({"Deliveries": [wanted]}, "--delete")
        self.assertEqual(self.apply({"Deliveries": [{**splits(("SubRecordType", "JSON")), "Directory": out}]})[thing],
                         "created")
        self.assertEqual(json.loads(self.run_tool("delivery", "describe", "s", "d", "--json").out)["split"], "")

    def test_a_schema_lies_beside_delivered_files(self):
        out = os.path.join(self.folder, "out")
        path = os.path.join(out, "_d.schema")
        schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "required": ["user_id"],
                  "properties": {"price": {"type": ["number", "null"], "minimum": -1.50e1}, "x": {}, "y": [],
                                 "link": {"properties": {"Ref": {"type": "string"}}},
                                 "category": {"enum": ["Books", None, True, "a\"b\u00e9\n"]}}}
        template = {"Streams": [STREAM], "Deliveries": [{**DELIVERY, "Directory": out, "Schema": schema}]}
        thing = ("delivery", "s", "d")
        self.apply(template, "--dry-run")
        self.assertFalse(os.path.exists(out))
        self.assertEqual(self.apply(template)[thing], "created")
        self.assertEqual(json.loads(content(path)), schema)
        self.assertTrue(content(path).endswith(b"}\n"))
        self.assertEqual(os.listdir(out), ["_d.schema"])  # No pattern for JSON files matches it.
        before = self.files()
        self.assertEqual(self.apply(template)[thing], "unchanged")
        self.assertEqual(self.files(), before)
        version = content(path)
        schema["required"].append("price")
        self.assertEqual(self.apply(template)[thing], "updated")
        self.assertNotEqual(content(path), version)
        self.assertEqual(json.loads(content(path)), schema)
        os.remove(path)
        self.assertEqual(self.apply(template)[thing], "updated")
        template["Deliveries"][0]["Schema"] = {}
        self.assertEqual(self.apply(template)[thing], "updated")
        self.assertEqual(content(path), b"{}\n")
        self.assertEqual(self.apply({"Deliveries": [DELIVERY]}), {thing: "unchanged"})
        elsewhere = os.path.join(self.folder, "elsewhere")
        template["Deliveries"][0]["Directory"] = elsewhere
        self.assertEqual(self.apply(template)[thing], "updated")
        self.assertEqual((os.listdir(out), os.listdir(elsewhere)), ([], ["_d.schema"]))
        template["Deliveries"][0]["Directory"] = out
        self.assertEqual(self.apply(template)[thing], "updated")
        self.apply(template, "--delete")
        self.assertEqual((os.listdir(out), os.listdir(elsewhere)), ([], []))
        self.apply(template, "--delete")
        bad = {**DELIVERY, "ToCallback": True, "Schema": {}}
        self.assertIn("Deliveries[0].Schema: it lies in a Directory",
                      self.apply({"Streams": [STREAM], "Deliveries": [bad]}, expect=2).err)
        with open(os.path.join(self.folder, "file"), "w"):
            pass
        lost = {**DELIVERY, "Directory": os.path.join(self.folder, "file"), "Schema": {}}
        self.assertIn("Deliveries[0].Schema: the schema cannot be written to %s: Not a directory" % lost["Directory"],
                      self.apply({"Streams": [STREAM], "Deliveries": [lost]}, expect=2).err)

    def test_where_a_schema_cannot_lie_is_told_before_anything_is_made(self):
        def made(name):
            path = os.path.join(self.folder, name)
            os.mkdir(path)
            return path

        there, file = made("there"), os.path.join(self.folder, "file")
        os.mkdir(os.path.join(made("taken"), "_d.schema"))
        os.mkdir(os.path.join(made("beside"), "_d.schema.new"))
        os.symlink("nowhere", os.path.join(made("links"), "_d.schema.new"))
        os.symlink(os.path.join(self.folder, "nothing"), os.path.join(self.folder, "dangling"))
        with open(file, "w"):
            pass
        cases = [("none/out", "No such file"), ("none/../none", "No such file"), ("file/out", "Not a directory"),
                 ("dangling", "No such file"), ("taken", "Is a directory"), ("beside", "File exists"),
                 ("links", "Too many"), ("there/a/b", "No such file")]
        if os.geteuid() != 0:
            os.chmod(made("closed"), 0o500)
            cases += [("closed", "Permission denied"), ("closed/out", "Permission denied")]
        template = {"Streams": [STREAM], "Mappings": [MAPPING], "Alerts": [ALERT]}
        for name, told in cases:
            for more in ([], ["--dry-run"]):
                lost = {**DELIVERY, "Directory": os.path.join(self.folder, name), "Schema": {}}
                done = self.apply({**template, "Deliveries": [lost]}, *more, expect=2)
                self.assertIn("Deliveries[0].Schema: the schema cannot be written to", done.err)
                self.assertIn(told, done.err)
                self.assertEqual(done.out, "")
                self.assertFalse(os.path.exists(self.store))
        self.assertEqual(os.listdir(there), [])
        # A directory that another schema makes before is there by then; slashes at the end are nothing.
        deep = [{**DELIVERY, "DeliveryStreamName": "d%d" % i, "Directory": os.path.join(there, place), "Schema": {}}
                for i, place in enumerate(["a/", "a/b", "a/b//c", "a/b/d/"])]
        self.apply({**template, "Deliveries": deep[1:]}, expect=2)
        for more in (["--dry-run"], []):
            self.assertEqual(set(self.apply({**template, "Deliveries": deep}, *more).values()), {"created"})
        self.assertEqual(os.listdir(os.path.join(there, "a", "b", "d")), ["_d3.schema"])
        # Nor is anything changed when one cannot be moved to, or taken away from, where it is.
        moved = {"Streams": [{**STREAM, "RetentionPeriodHours": 99}],
                 "Deliveries": [{k: v for k, v in {**deep[3], "Directory": file}.items() if k != "Schema"}]}
        before = self.files()
        self.assertIn("Deliveries[0].Directory: the schema cannot be moved from", self.apply(moved, expect=2).err)
        os.remove(os.path.join(there, "a", "_d0.schema"))
        os.mkdir(os.path.join(there, "a", "_d0.schema"))
        self.assertIn("_d0.schema cannot be removed, so nothing is: Is a directory",
                      self.apply({**template, "Deliveries": deep}, "--delete", expect=1).err)
        self.assertEqual(self.files(), before)
        self.assertEqual(os.listdir(os.path.join(there, "a", "b", "d")), ["_d3.schema"])

    def test_a_schema_goes_where_its_delivery_goes_whatever_the_file_says(self):
        out, other = (os.path.join(self.folder, name) for name in ("out", "other"))
        said = {"Deliveries": [{**DELIVERY, "Directory": out, "Schema": {"type": "object"}}]}
        thing = ("delivery", "s", "d")
        self.apply({"Streams": [STREAM]})
        self.apply(said)
        text = content(os.path.join(out, "_d.schema"))
        moved = {"Deliveries": [{**DELIVERY, "Directory": other}]}
        self.assertEqual(self.apply(moved), {thing: "updated"})
        self.assertEqual((os.listdir(out), os.listdir(other)), ([], ["_d.schema"]))
        self.assertEqual(content(os.path.join(other, "_d.schema")), text)
        self.assertEqual(self.apply(moved), {thing: "unchanged"})
        self.apply(moved, "--delete")
        self.assertEqual(os.listdir(other), [])
        self.apply(said)
        self.apply({"Deliveries": [DELIVERY]}, "--delete")  # which says nothing of a directory
        self.assertEqual(os.listdir(out), [])
        self.apply(said)
        self.run_tool("delivery", "delete", "s", "d")
        self.assertEqual(os.listdir(out), [])
        self.apply(said)
        self.assertEqual(self.apply({"Deliveries": [{**DELIVERY, "ToCallback": True}]}), {thing: "updated"})
        self.assertEqual(os.listdir(out), [])

    def test_two_streams_share_no_schema(self):
        out = os.path.join(self.folder, "out")
        path = os.path.join(out, "_d.schema")
        streams = [STREAM, {**STREAM, "StreamName": "t"}]
        mine = {**DELIVERY, "Directory": out, "Schema": {"title": "mine"}}
        other = {**DELIVERY, "StreamName": "t", "Directory": out}
        refused = "delivery 'd' of stream '%s' goes to the same Directory, where both schemas would be _d.schema"
        for both in ([mine, {**other, "Schema": {}}], [mine, other]):
            self.assertIn(refused % "s", self.apply({"Streams": streams, "Deliveries": both}, expect=2).err)
        self.assertFalse(os.path.exists(out))
        self.apply({"Streams": streams, "Deliveries": [mine]})
        self.assertIn(refused % "s", self.apply({"Deliveries": [{**other, "Schema": {}}]}, expect=2).err)
        # One without a schema is no trouble, wherever it goes, and takes nothing along.
        self.apply({"Deliveries": [other]})
        self.assertEqual(self.apply({"Deliveries": [mine]}), {("delivery", "s", "d"): "unchanged"})
        self.apply({"Deliveries": [{**other, "Directory": out + "2"}]})
        self.assertEqual(json.loads(content(path)), {"title": "mine"})
        self.apply({"Deliveries": [other]})
        self.assertEqual(self.run_tool("delivery", "delete", "t", "d", "--json").out, '{"deleted":"d"}\n')
        self.assertEqual(json.loads(content(path)), {"title": "mine"})
        self.apply({"Deliveries": [other]})
        self.apply({"Deliveries": [other]}, "--delete")
        self.assertEqual(os.listdir(out), ["_d.schema"])
        self.apply({"Deliveries": [mine]}, "--delete")
        self.assertEqual(os.listdir(out), [])

    def test_a_schema_that_cannot_be_moved_leaves_its_delivery_where_it_is(self):
        out, file = (os.path.join(self.folder, name) for name in ("out", "file"))
        self.apply({"Streams": [STREAM], "Deliveries": [{**DELIVERY, "Directory": out, "Schema": {}}]})
        with open(file, "w"):
            pass
        lost = {"Deliveries": [{**DELIVERY, "Directory": file}]}
        self.assertIn("Not a directory", self.apply(lost, expect=2).err)
        self.assertEqual(os.listdir(out), ["_d.schema"])
        self.assertEqual(json.loads(self.run_tool("delivery", "describe", "s", "d", "--json").out)["directory"], out)
        os.remove(file)
        os.symlink(out, file)  # The same by another name: nothing is lost between the two.
        self.assertEqual(self.apply(lost), {("delivery", "s", "d"): "updated"})
        self.assertEqual(os.listdir(out), ["_d.schema"])

    def test_a_relative_directory_is_that_of_whoever_applies_it(self):
        def look():
            return json.loads(self.run_tool("delivery", "describe", "s", "d", "--json").out)["directory"]

        thing, back = ("delivery", "s", "d"), os.getcwd()
        here, there = (os.path.realpath(os.path.join(self.folder, name)) for name in ("here", "there"))
        template = {"Streams": [STREAM], "Deliveries": [{**DELIVERY, "Directory": "out", "Schema": {}}]}
        os.mkdir(here)
        os.mkdir(there)
        self.addCleanup(os.chdir, back)
        os.chdir(here)
        self.assertEqual(self.apply(template)[thing], "created")
        self.assertEqual(look(), here + "/out")
        self.assertEqual(self.apply(template)[thing], "unchanged")
        os.chdir(there)
        self.run_tool("put", "s", "--key", "a", "--quiet", stdin=b"x\n")
        self.run_tool("delivery", "run", "s", "d", "--until-caught-up")
        self.assertEqual(os.listdir(there), [])
        self.assertEqual(len(os.listdir(here + "/out")), 2)
        self.assertEqual(self.apply(template)[thing], "updated")  # It is another directory.
        self.assertEqual(look(), there + "/out")
        self.assertEqual(os.listdir(there + "/out"), ["_d.schema"])
        os.chdir("/")
        self.run_tool("delivery", "delete", "s", "d")
        self.assertEqual(os.listdir(there + "/out"), [])
        os.chdir(here)
        self.run_tool("delivery", "create", "s", "d", "--directory", "./out")
        self.assertEqual(look(), here + "/./out")

    def test_a_delivery_may_have_a_bucket(self):
        bucket = {**DELIVERY, "BucketARN": "arn:aws:s3:::mi-bucket", "EndpointUrl": "http://127.0.0.1:1",
                  "Region": "eu-west-1"}
        thing = ("delivery", "s", "d")
        self.apply({"Streams": [STREAM]})
        done = self.run_tool("apply", self.write({"Deliveries": [bucket]}), expect=None)
        if "built without" in done.err:
            self.skipTest("built without S3")
        self.assertIn("created", done.out)
        self.assertEqual(self.apply({"Deliveries": [{**bucket, "BucketARN": "mi-bucket"}]}), {thing: "unchanged"})
        self.assertEqual(self.apply({"Deliveries": [{**DELIVERY, "Region": "eu-west-2"}]}), {thing: "updated"})
        self.assertEqual(self.apply({"Deliveries": [{**DELIVERY, "Directory": "out"}]}), {thing: "updated"})
        self.assertEqual(self.apply({"Deliveries": [{**DELIVERY, "Directory": "out"}]}), {thing: "unchanged"})
        self.assertIn("s3_region", self.apply({"Deliveries": [{**DELIVERY, "Region": "eu-west-2"}]}, expect=2).err)

    def test_what_is_wrong_with_a_delivery_is_told(self):
        def parameter(type_, name, value):
            return {"ProcessingConfiguration": {"Enabled": True, "Processors": [
                {"Type": type_, "Parameters": [{"ParameterName": name, "ParameterValue": value}]}]}}

        for change, told in [
                ({}, "there is no destination"),
                ({"Directory": "d", "Prefix": "!{timestamp:q"}, "Deliveries[0]: "),
                ({"Directory": "d", "CompressionFormat": "SNAPPY"}, "CompressionFormat: it is one of"),
                ({"Directory": "d", **parameter("Lambda", "NumberOfRetries", "x")}, "ParameterValue: it is a text"),
                ({"Directory": "d", **parameter("Lambda", "BufferIntervalInSeconds", "60")}, 'Value: it is "0"'),
                ({"Directory": "d", **parameter("Lambda", "BufferSizeInMBs", "0.1")}, "0.2..6"),
                ({"Directory": "d", "S3BackupConfiguration": {"Prefix": "r", "BufferingHints": {"SizeInMBs": 5}}},
                 "without LS_DELIVERY_BACKUP"),
                ({"Directory": "d", **parameter("Lambda", "Delimiter", "x")}, "Delimiter is no parameter of Lambda"),
                ({"Directory": "d", **parameter("MetadataExtraction", "MetadataExtractionQuery", "{a .b}")},
                 "it is {KEY: QUERY"),
                ({"Directory": "d", **parameter("MetadataExtraction", "MetadataExtractionQuery", "{a: .b} x")},
                 "it is {KEY: QUERY"),
                ({"Directory": "d", **parameter("MetadataExtraction", "JsonParsingEngine", "JQ-1.7")}, '"JQ-1.6"'),
                ({"Directory": "d", **parameter("Decompression", "Delimiter", "x")}, "Type: it is one of"),
                ({"Directory": "d", **parameter("RecordDeAggregation", "Delimiter", "x")}, "it is the delimiter in"),
                ({"Directory": "d", **parameter("RecordDeAggregation", "Delimiter", "")}, "not empty"),
                ({"Directory": "d", **parameter("RecordDeAggregation", "Delimiter", "IyMjIw==")}, "has a SubRecord"),
                ({"Directory": "d", **parameter("RecordDeAggregation", "SubRecordType", "XML")}, '"JSON" or "DEL'),
                ({"Directory": "d", **parameter("RecordDeAggregation", "SubRecordType", "DELIMITED")}, "has a Delim"),
                ({"Directory": "d", **parameter("RecordDeAggregation", "NumberOfRetries", "1")}, "is no parameter")]:
            self.assertIn(told, self.apply({"Streams": [STREAM], "Deliveries": [{**DELIVERY, **change}]}, expect=2).err)
            self.assertFalse(os.path.exists(self.store))
        done = self.apply({"Streams": [STREAM], "Mappings": [{**MAPPING, "FunctionName": "d"}],
                           "Deliveries": [{**DELIVERY, "Directory": "d"}]}, expect=2)
        self.assertIn("Deliveries[0]: ", done.err)  # the same name
        self.apply({"Streams": [STREAM], "Mappings": [{**MAPPING, "FunctionName": "d"}]})
        before = self.files()
        done = self.apply({"Streams": [{**STREAM, "RetentionPeriodHours": 77}],
                           "Deliveries": [{**DELIVERY, "Directory": "d"}]}, expect=2)
        self.assertIn("Deliveries[0]: stream 's' has another group 'd'", done.err)
        self.assertEqual(self.files(), before)

    def test_encryption_is_declared_with_its_key(self):
        key = os.path.join(self.folder, "keys")
        with open(key, "w") as file:
            file.write("11" * 32)
        os.chmod(key, 0o600)
        on = {"Streams": [{**STREAM, "StreamEncryption": {"EncryptionType": "KMS", "KeyId": "k1"}}]}
        off = {"Streams": [{**STREAM, "StreamEncryption": {"EncryptionType": "NONE"}}]}
        if "built without encryption" in self.apply(on, expect=2).err:  # without the key
            self.skipTest("built without encryption")
        self.assertFalse(os.path.exists(self.store))
        self.assertEqual(self.apply(on, "--key-file", key), {("stream", "s"): "created"})
        self.assertEqual(self.look("describe", "s")["encryption_key_id"], "k1")
        self.assertEqual(self.apply(on, "--key-file", key), {("stream", "s"): "unchanged"})
        self.assertEqual(self.apply(off, "--key-file", key), {("stream", "s"): "updated"})
        self.assertEqual(self.apply(off, "--key-file", key), {("stream", "s"): "unchanged"})

    def test_every_field_is_described(self):
        room = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib", "cli")
        with open(os.path.join(room, "TEMPLATE.md")) as file:
            text = file.read()
        fields = [name for source in sorted(os.listdir(room)) if source.startswith(("apply_", "cmd_apply", "template"))
                  for name in re.findall(r'\{"(\w+)", LSI_TAKE_', content(os.path.join(room, source)).decode())]
        self.assertGreater(len(fields), 70)
        self.assertEqual([name for name in fields if "`%s`" % name not in text], [])

    def test_what_is_declared_elsewhere_may_be_named(self):
        self.make("s")
        self.make("failures")
        self.run_tool("consumers", "register", "s", "fast")
        mapping = {**MAPPING, "DestinationConfig": {"OnFailure": {"Destination": "failures"}}, "ConsumerName": "fast"}
        self.assertEqual(self.apply({"Mappings": [mapping], "Alerts": [ALERT]}),
                         {("mapping", "s", "m"): "created", ("alert", "s", "a"): "created"})

    def test_the_example_is_applied_and_taken_down(self):
        out = os.path.join(self.folder, "out")
        for wanted in "created", "unchanged":
            done = self.run_tool("apply", EXAMPLE, "--set", "S3BucketName=" + out)
            self.assertEqual({line.split()[0] for line in done.out.splitlines()}, {wanted})
        schema = json.loads(content(os.path.join(out, "_mi-ks-homework12-firehose.schema")))
        self.assertIn("category", schema["required"])
        self.run_tool("apply", EXAMPLE, "--set", "S3BucketName=" + out, "--delete")
        self.assertEqual(self.look("list"), {"streams": []})

    def test_parameters_have_defaults_and_are_set(self):
        template = {"Parameters": {"Name": {"Type": "String", "Default": "s"}, "Count": {"Type": "Number"}},
                    "Streams": [{"StreamName": {"Ref": "Name"}, "ShardCount": {"Ref": "Count"}}]}
        self.assertEqual(self.apply(template, "--set", "Count=2"), {("stream", "s"): "created"})
        self.assertEqual(self.apply(template, "--set", "Count=2", "--set", "Name=a=b", expect=2).out, "")
        self.assertEqual(self.apply(template, "--set", "Count=1", "--set", "Name=other", "--set", "Count=3"),
                         {("stream", "other"): "created"})
        self.assertEqual(len(self.look("shards", "other")["shards"]), 3)

    def test_a_template_has_16_mib_at_most(self):
        text = json.dumps({"Streams": [STREAM]})
        most = text + " " * ((16 << 20) - len(text))
        self.assertIn("too large", self.apply(most + " ", expect=1).err)
        self.assertFalse(os.path.exists(self.store))
        self.assertEqual(self.apply(most), {("stream", "s"): "created"})

    def test_a_template_comes_from_standard_input_too(self):
        self.assertIn("created", self.run_tool("apply", "-", stdin=json.dumps({"Streams": [STREAM]}).encode()).out)


@unittest.skipUnless(CAN_READ, "built without JSON")
class Refused(Apply):
    def test_what_is_wrong_is_told_with_line_and_field_and_nothing_is_changed(self):
        for template, told in [
                ('{"Streams": [\n{"StreamName": "s",\n"ShardCont": 2}]}',
                 "3: Streams[0].ShardCont: there is no such field; did you mean 'ShardCount'?"),
                ('{"Streams": [{"StreamName": "s"},\n{"ShardCount": 2}]}', '2: Streams[1]: it needs "StreamName"'),
                ('{"Streams": [{"StreamName": "s", "ShardCount":\n\n0}]}',
                 "3: Streams[0].ShardCount: it is a whole number, 1..65536"),
                ('{"Streams": [{"StreamName": "s", "ShardCount": 1.5}]}', "Streams[0].ShardCount: it is a whole"),
                ('{"Streams": [{"StreamName": "s", "ShardCount": "1"}]}', "Streams[0].ShardCount: it is a whole"),
                ('{"Streams": [{"StreamName": 1}]}', "Streams[0].StreamName: it is a text"),
                ('{"Streams": [{"StreamName": ""}]}', "Streams[0].StreamName: it is a text"),
                ('{"Streams": [{"StreamName": "no name"}]}', "1: Streams[0]: stream name"),
                ('{"Streams": [{"StreamName": "s", "StreamModeDetails": {"StreamMode": "FAST"}}]}',
                 'StreamModeDetails.StreamMode: it is one of "ON_DEMAND", "PROVISIONED"'),
                ('{"Streams": [{"StreamName": "s", "Tags": [{"Key": "aws:x"}]}]}', "Streams[0]: "),
                ('{"Streams": [{"StreamName": "s", "Tags": [{"Key": "x"}, {"Key": "x"}]}]}', "Tags[1]: the tag 'x'"),
                ('{"Streams": [{"StreamName": "s", "Consumers": ["c", "c"]}]}', "Consumers[1]: the consumer 'c'"),
                ('{"Streams": [{"StreamName": "s", "StreamEncryption": {"EncryptionType": "KMS"}}]}', '"KeyId"'),
                ('{"Streams": [{"StreamName": "s"},\n{"StreamName": "s"}]}',
                 "2: Streams[1]: the stream 's' was declared at line 1"),
                ('{"Streams": {}}', "Streams: it is a list"),
                ('{"Streams": [7]}', "Streams[0]: it is an object"),
                ('{"Stream": []}', "Stream: there is no such field; did you mean 'Streams'?"),
                ("[]", "1: a template is an object"),
                ('{"Streams": [\n}', "2: JSON"),
                ('{"Streams": [],\n"Streams": []}', "2: JSON: key 'Streams' comes twice"),
                ('{"Streams": [{"StreamName": "a\\u0000b"}]}', "zero byte"),
                ('{"Streams": [{"StreamName": {"Ref": "Name"}}]}',
                 "Streams[0].StreamName: there is no parameter 'Name'"),
                ('{"Parameters": {"Name": {"Type": "String"}}, "Streams": [{"StreamName": {"Ref": "Name"}}]}',
                 "Parameters.Name: it has no Default: say --set Name=VALUE"),
                ('{"Parameters": {"Name": {"Type": "Number", "Default": "x"}}, "Streams": [{"StreamName": "s",'
                 '"ShardCount": {"Ref": "Name"}}]}', "Parameters.Name: its value 'x' is no number"),
                ('{"Parameters": {"Name": {"Type": "Text"}}}', "Parameters.Name.Type: it is one of"),
                ('{"Parameters": {"Name": {"Type": "String", "Default": ["s"]}}, "Streams": [{"StreamName": "s", '
                 '"Tags": [{"Key": "k", "Value": {"Ref": "Name"}}]}]}', "Parameters.Name.Default: it is a text or"),
                ('{"Parameters": {"Name": {"Type": "String", "Default": {}}}}', "Parameters.Name.Default: it is a"),
                ('{"Parameters": {"Name": {"Type": "String", "Default": "\u00fc", "MinLength": 2}}, "Streams": '
                 '[{"StreamName": "s", "Tags": [{"Key": "k", "Value": {"Ref": "Name"}}]}]}',
                 "Parameters.Name: its value '\u00fc' has fewer characters than MinLength"),
                ({"Mappings": [MAPPING]}, "Mappings[0]: there is no stream 's', neither here nor in the store"),
                ({"Streams": [STREAM], "Mappings": [{k: v for k, v in MAPPING.items() if k != "StartingPosition"}]},
                 'Mappings[0]: it needs "StartingPosition"'),
                ({"Streams": [STREAM], "Mappings": [{**MAPPING, "StartingPosition": "AT_TIMESTAMP"}]},
                 "Mappings[0].StartingPosition: AT_TIMESTAMP needs StartingPositionTimestamp"),
                ({"Streams": [STREAM], "Mappings": [{**MAPPING, "StartingPositionTimestamp": 5}]},
                 "only AT_TIMESTAMP takes"),
                ({"Streams": [STREAM], "Mappings": [{**MAPPING, "StartingPosition": "AT_TIMESTAMP",
                                                     "StartingPositionTimestamp": 99999999999}]}, "in the future"),
                ({"Streams": [STREAM], "Mappings": [{**MAPPING, "TumblingWindowInSeconds": 1,
                                                     "ParallelizationFactor": 2}]}, "windows need one lane"),
                ({"Streams": [STREAM], "Mappings": [
                    {**MAPPING, "FilterCriteria": {"Filters": [{"Pattern": "{"}]}}]}, "Event pattern is not valid"),
                ({"Streams": [STREAM], "Mappings": [
                    {**MAPPING, "DestinationConfig": {"OnFailure": {"Destination": "none"}}}]},
                 "there is no stream 'none'"),
                ({"Streams": [STREAM], "Mappings": [{**MAPPING, "ConsumerName": "none"}]}, "consumer"),
                ({"Streams": [STREAM], "Mappings": [{**MAPPING, "FunctionResponseTypes": ["x"]}]},
                 "FunctionResponseTypes[0]: it is"),
                ({"Streams": [STREAM], "Alerts": [{**ALERT, "MetricName": "m"}]}, "Alerts[0]: "),
                ({"Streams": [STREAM], "Alerts": [{**ALERT, "Threshold": True}]}, "Threshold: it is a number"),
                ({"Streams": [STREAM], "Alerts": [{**ALERT, "Threshold": "x"}]}, "comparison"),
                ({"Streams": [STREAM], "Alerts": [{**ALERT, "Dimensions": [{"Name": "x"}]}]}, 'it needs "Value"')]:
            done = self.apply(template, expect=2)
            self.assertIn(told, done.err)
            self.assertIn("template.json:", done.err)
            self.assertEqual(done.out, "")
            self.assertFalse(os.path.exists(self.store))

    def test_what_cannot_be_changed_is_told_before_anything_is(self):
        self.apply({"Streams": [STREAM], "Mappings": [MAPPING]})
        before = self.files()
        done = self.apply({"Streams": [{**STREAM, "RetentionPeriodHours": 99}, {"StreamName": "t"}],
                           "Mappings": [{**MAPPING, "BatchSize": 5, "StartingPosition": "LATEST"}]}, expect=2)
        self.assertIn("Mappings[0].StartingPosition: it cannot be changed", done.err)
        self.assertEqual(self.files(), before)

    def test_settings_that_do_not_go_with_those_there_are_refused_first(self):
        self.apply({"Streams": [STREAM], "Mappings": [{**MAPPING, "ParallelizationFactor": 2}]})
        before = self.files()
        done = self.apply({"Streams": [{**STREAM, "RetentionPeriodHours": 99}],
                           "Mappings": [{**MAPPING, "TumblingWindowInSeconds": 3}]}, expect=2)
        self.assertIn("windows need one lane", done.err)
        self.assertEqual(self.files(), before)

    def test_the_command_line_is_checked(self):
        path = self.write({})
        self.assertIn("NAME=VALUE", self.run_tool("apply", path, "--set", "x", expect=2).err)
        self.assertIn("no parameter 'x'", self.run_tool("apply", path, "--set", "x=1", expect=2).err)
        self.assertIn("No such file", self.run_tool("apply", path + "x", expect=2).err)
        self.run_tool("apply", expect=2)
        self.assertEqual(self.run_tool("apply", path).out, "")

    def test_a_dry_run_says_all_and_changes_nothing(self):
        template = {"Streams": [STREAM], "Mappings": [MAPPING]}
        wanted = {("stream", "s"): "created", ("mapping", "s", "m"): "created"}
        self.assertEqual(self.apply(template, "--dry-run"), wanted)
        self.assertFalse(os.path.exists(self.store))
        self.assertEqual(self.apply(template), wanted)
        before = self.files()
        self.assertEqual(self.apply({"Streams": [{**STREAM, "ShardCount": 2}], "Mappings": [MAPPING]}, "--dry-run"),
                         {("stream", "s"): "updated", ("mapping", "s", "m"): "unchanged"})
        self.assertEqual(self.apply(template, "--delete", "--dry-run"),
                         {("stream", "s"): "deleted", ("mapping", "s", "m"): "deleted"})
        self.assertEqual(self.files(), before)


@unittest.skipUnless(CAN_READ, "built without JSON")
class Deleted(Apply):
    def test_delete_takes_down_in_reverse_order_and_absent_is_fine(self):
        template = {"Streams": [{**STREAM, "Consumers": ["c"]}], "Mappings": [MAPPING], "Alerts": [ALERT]}
        self.make("kept")
        self.apply(template)
        done = self.run_tool("apply", self.write(template), "--delete")
        self.assertEqual([line.split() for line in done.out.splitlines()],
                         [["deleted", "alert", "s", "a"], ["deleted", "mapping", "s", "m"], ["deleted", "stream", "s"]])
        self.assertEqual(self.look("list")["streams"], ["kept"])
        before = self.files()
        self.assertEqual(set(self.apply(template, "--delete").values()), {"absent"})
        self.assertEqual(self.files(), before)

    def test_without_a_store_all_is_absent(self):
        self.assertEqual(self.apply({"Streams": [STREAM], "Mappings": [MAPPING]}, "--delete"),
                         {("stream", "s"): "absent", ("mapping", "s", "m"): "absent"})
        self.assertFalse(os.path.exists(self.store))

    def test_a_stream_with_consumers_of_others_is_kept_with_all_that_it_has(self):
        out = os.path.join(self.folder, "out")
        template = {"Streams": [{"StreamName": "t"}, {**STREAM, "Consumers": ["c"]}], "Mappings": [MAPPING],
                    "Deliveries": [{**DELIVERY, "Directory": out, "Schema": {}}], "Alerts": [ALERT]}
        self.apply(template)
        self.run_tool("consumers", "register", "s", "theirs")
        before = self.files()
        for more in ([], ["--dry-run"]):
            done = self.apply(template, "--delete", *more, expect=6)
            self.assertIn("stream 's' has the registered consumer 'theirs', which the file does not name", done.err)
            self.assertEqual(self.files(), before)
        self.assertEqual(os.listdir(out), ["_d.schema"])
        # What is not the stream goes without it.
        self.assertEqual(set(self.apply({"Alerts": [ALERT]}, "--delete").values()), {"deleted"})
        self.run_tool("consumers", "deregister", "s", "theirs")
        self.assertEqual([result for _, result in sorted(self.apply(template, "--delete").items())],
                         ["absent"] + ["deleted"] * 4)
        self.assertEqual(os.listdir(out), [])


@unittest.skipUnless(CAN_READ, "built without JSON")
class Together(Apply):
    """Several runs at once: what another one has made in between is there, and nobody fails of it."""

    def apply_at_once(self, template, count=4):
        path = self.write(template)
        runs = [subprocess.Popen([LSTREAM, "apply", path, "--store", self.store], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True) for _ in range(count)]
        for run in runs:
            out, err = run.communicate(timeout=60)
            self.assertEqual((run.returncode, err), (0, ""))
            self.assertEqual(len(out.splitlines()), 4)
        self.assertEqual(set(self.apply(template).values()), {"unchanged"})

    def test_a_store_is_made_and_changed_by_several_runs(self):
        places = [os.path.join(self.folder, name) for name in ("out", "other")]
        for number in range(16):
            self.store = os.path.join(self.folder, "store%d" % number)
            for step, place in enumerate(places):
                self.apply_at_once({
                    "Streams": [{**STREAM, "ShardCount": 1 + step, "RetentionPeriodHours": 24 + step,
                                 "Consumers": ["a", "b"][:1 + step]}],
                    "Mappings": [{**MAPPING, "BatchSize": 10 + step, "Enabled": step == 0}],
                    "Deliveries": [{**DELIVERY, "Directory": place, "Schema": {"step": step}}],
                    "Alerts": [{**ALERT, "Threshold": step}]})
                self.assertEqual(os.listdir(place), ["_d.schema"])
            self.assertEqual(os.listdir(places[0]), [])


    def while_a_schema_is_written(self, template, act):
        """Applies it, and calls `act` when the delivery is made, its schema not yet, and of alerts nothing."""
        out = os.path.join(self.folder, "out")
        os.makedirs(out)
        with open(os.path.join(out, "_d.schema.new"), "w") as beside:
            fcntl.flock(beside, fcntl.LOCK_EX)
            run = subprocess.Popen([LSTREAM, "apply", self.write(template), "--store", self.store], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            while self.run_tool("delivery", "describe", "s", "d", expect=None).returncode != 0:
                self.assertIsNone(run.poll())
                time.sleep(0.01)
            act()
        out, err = run.communicate(timeout=60)
        return run.returncode, [line.split() for line in out.splitlines()], err

    def test_what_is_deleted_meanwhile_is_made_again(self):
        delivery = {**DELIVERY, "Directory": os.path.join(self.folder, "out"), "Schema": {}}
        template = {"Streams": [STREAM], "Deliveries": [delivery], "Alerts": [ALERT]}
        code, lines, err = self.while_a_schema_is_written(template, lambda: self.apply(template, "--delete"))
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(lines, [["created", "stream", "s"], ["created", "delivery", "s", "d"]] * 2 +
                         [["created", "alert", "s", "a"]])
        self.assertEqual(set(self.apply(template).values()), {"unchanged"})

    def test_what_the_file_does_not_make_is_not_waited_for(self):
        self.apply({"Streams": [STREAM]})
        delivery = {**DELIVERY, "Directory": os.path.join(self.folder, "out"), "Schema": {}}
        code, lines, err = self.while_a_schema_is_written({"Deliveries": [delivery], "Alerts": [ALERT]},
                                                          lambda: self.run_tool("delete", "s"))
        self.assertEqual((code, lines), (3, [["created", "delivery", "s", "d"]]))
        self.assertIn("stream 's' does not exist: another process changes it at the same time", err)

    def test_it_is_taken_down_while_it_is_made(self):
        out = os.path.join(self.folder, "out")
        template = {
            "Streams": [{**STREAM, "ShardCount": 2, "Consumers": ["a", "b"]}, {"StreamName": "t"}],
            "Mappings": [{**MAPPING, "ConsumerName": "a"}, {**MAPPING, "FunctionName": "n", "Enabled": False}],
            "Deliveries": [{**DELIVERY, "Directory": out, "Schema": {}}], "Alerts": [ALERT]}
        path = self.write(template)
        for _ in range(15):
            runs = [subprocess.Popen([LSTREAM, "apply", path, *how, "--store", self.store], stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, text=True)
                    for how in ([], ["--delete"], [], ["--delete"])]
            for run in runs:
                _, err = run.communicate(timeout=60)
                self.assertEqual((run.returncode, err), (0, ""))
        self.apply(template)
        self.assertEqual(set(self.apply(template).values()), {"unchanged"})
        self.assertEqual(os.listdir(out), ["_d.schema"])
        self.apply(template, "--delete")
        self.assertEqual((self.look("list")["streams"], os.listdir(out)), ([], []))


@unittest.skipIf(CAN_READ, "built with JSON")
class Unread(Apply):
    def test_without_json_it_says_so(self):
        self.assertIn("built without JSON", self.run_tool("apply", self.write({}), expect=1).err)


@unittest.skipUnless(CAN_READ, "built without JSON")
class Killed(Apply):
    """Killed at random moments and applied again, it ends in the same state as when it was left alone."""

    def state(self):
        def timeless(items):
            return [{k: v for k, v in item.items() if k not in ("created_us", "modified_us")} for item in items]

        return [(name, len(self.look("shards", name)["shards"]), self.look("describe", name)["retention_hours"],
                 timeless(self.look("mapping", "list", name)["mappings"]),
                 timeless(self.look("alert", "list", name)["alerts"]),
                 [c["name"] for c in self.look("consumers", "list", name)["consumers"]])
                for name in self.look("list")["streams"]]

    def test_killed_in_the_middle_the_next_run_ends_in_the_same_state(self):
        names = ["s%d" % i for i in range(2)]
        template = {"Streams": [{"StreamName": n, "ShardCount": 2, "Consumers": ["c"], "RetentionPeriodHours": 30}
                                for n in names],
                    "Mappings": [{**MAPPING, "StreamName": n, "Enabled": False} for n in names],
                    "Deliveries": [{**DELIVERY, "StreamName": n, "Directory": "out"} for n in names],
                    "Alerts": [{**ALERT, "StreamName": n} for n in names]}
        store = self.store
        path = self.write(template)
        began = time.monotonic()
        self.apply(template)
        took = time.monotonic() - began
        wanted = self.state()
        seed = random.randrange(1 << 30)
        dice = random.Random(seed)
        for round_ in range(4):
            self.store = "%s-%d" % (store, round_)
            for _ in range(3):
                run = subprocess.Popen([LSTREAM, "apply", path], stdout=subprocess.DEVNULL,
                                       env={**os.environ, "LIBSTREAM_STORE": self.store})
                try:
                    run.wait(timeout=dice.uniform(0, took))
                except subprocess.TimeoutExpired:
                    run.kill()
                    run.wait()
            self.apply(template)
            self.assertEqual(self.state(), wanted, "seed %d" % seed)
            self.assertEqual(set(self.apply(template).values()), {"unchanged"}, "seed %d" % seed)


if __name__ == "__main__":
    unittest.main()
